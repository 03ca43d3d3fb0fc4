"""How browsers name themselves, with the number of their touch points and the system that they run on."""

from __future__ import annotations

from typing import Final

__all__ = ["AGENTS"]

_IPHONE: Final = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)"
_MAC: Final = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_WEBKIT: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_CHROME: Final = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
_FIREFOX: Final = "Gecko/20100101 Firefox/143.0"

AGENTS: Final = {
    "Safari, iPhone": (f"{_IPHONE} {_WEBKIT} Version/18.5 Mobile/15E148 Safari/604.1", 5, "ios"),
    "Chrome, iPhone": (f"{_IPHONE} {_WEBKIT} CriOS/140.0.0.0 Mobile/15E148 Safari/604.1", 5, "ios"),
    "Safari, iPad": (f"{_MAC} {_WEBKIT} Version/18.5 Safari/605.1.15", 5, "ios"),
    "Chrome, Android": (f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36", 5, "android"),
    "Firefox, Android": ("Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0", 5, "android"),
    "Edge, Windows": (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36 Edg/140.0.0.0", 0, "windows"),
    "Firefox, Windows": (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) {_FIREFOX}", 10, "windows"),
    "Safari, Mac": (f"{_MAC} {_WEBKIT} Version/18.5 Safari/605.1.15", 0, "mac"),
    "Firefox, Mac": (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) {_FIREFOX}", 0, "mac"),
    "Chrome, Linux": (f"Mozilla/5.0 (X11; Linux x86_64) {_CHROME} Safari/537.36", 0, "linux"),
    "Firefox, Linux": (f"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) {_FIREFOX}", 10, "linux"),
}
