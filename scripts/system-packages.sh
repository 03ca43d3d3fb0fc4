#!/bin/sh
# Installs the Debian packages that a purpose (run, demo, test, …) lacks, and lists them before it does.
#
# Rules: it requests a package only if its content is missing, so a complete machine stays untouched. Without root and
# sudo, it prints the exact command to run instead. It works on Debian 12 and 13 and on Raspberry Pi OS of both, 64 bit.

set -eu

purpose=${1:?usage: system-packages.sh run|run-desk|demo|test|desk|test-browser|models|release|bench|test-install|test-arm64|test-card|test-vm|test-pi3|test-scale|test-rabbitmq}
python=${PYTHON:-/usr/bin/python3}
PATH=$PATH:/usr/sbin:/sbin # mosquitto lives in sbin, which is not on everybody's path

say() { printf '  %s\n' "$*"; }
fail() {
    printf '\nError: %s\n' "$1" >&2
    printf '  What to do: %s\n' "$2" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# --- Is this a machine we can run on?

has apt-get || fail "This machine has no apt-get; the set-up knows Debian and Raspberry Pi OS." \
    "Use Debian 12 or 13, or install Python 3.11+, mosquitto and requirements/$purpose.txt by hand."
case $(dpkg --print-architecture) in
    amd64 | arm64) ;;
    *) fail "This system is $(dpkg --print-architecture); the video and cryptography packages exist for 64 bit only." \
        "Install the 64-bit Raspberry Pi OS: every Pi since the 3, and the Zero 2 W, runs it." ;;
esac

# --- What is missing?

missing=""
wished=""
need() { missing="$missing $*"; }

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    [ "$python" = /usr/bin/python3 ] || fail "$python cannot make virtual environments." \
        "Install its venv and ensurepip modules, or leave PYTHON unset to use the system's Python."
    need python3 python3-venv
fi
if [ "$purpose" != run ] && [ "$purpose" != run-desk ] && [ "$purpose" != models ] && [ "$purpose" != release ]; then
    has mosquitto || need mosquitto
fi
if [ "$purpose" = release ]; then
    has git || need git
fi
if [ "$purpose" = bench ]; then
    # The peers of our benchmarks, the instruction counter, and the compiler for motion's camera.
    has motion || wished="$wished motion"
    has valgrind || wished="$wished valgrind"
    has gcc || wished="$wished gcc libc6-dev linux-libc-dev"
fi
if [ "$purpose" = test-install ]; then
    has systemd-nspawn || need systemd-container
    has mmdebstrap || need mmdebstrap
fi
if [ "$purpose" = test-scale ] || [ "$purpose" = test-rabbitmq ]; then
    # HAProxy stands before several gateways of a store, and before the nodes of a cluster.
    has haproxy || need haproxy
fi
if [ "$purpose" = test-scale ]; then
    # The newest server that is installed is used. Debian 13 has 17.
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || need postgresql
    [ -x /usr/lib/postgresql/17/bin/postgres ] || wished="$wished postgresql-17"
    has nft || wished="$wished nftables iproute2"
fi
if [ "$purpose" = test-rabbitmq ]; then
    has mmdebstrap || need mmdebstrap
    has systemd-nspawn || need systemd-container
fi
if [ "$purpose" = test-arm64 ]; then
    has mmdebstrap || need mmdebstrap
    has arch-test || need arch-test
    has qemu-aarch64-static || need qemu-user-static binfmt-support
fi
if [ "$purpose" = test-vm ] || [ "$purpose" = test-pi3 ]; then
    has mmdebstrap || need mmdebstrap
    has qemu-img || need qemu-utils
    has mke2fs || need e2fsprogs
fi
if [ "$purpose" = test-card ]; then
    has mmdebstrap || need mmdebstrap
    has arch-test || need arch-test
    has qemu-aarch64-static || need qemu-user-static binfmt-support
    has qemu-system-aarch64 || need qemu-system-arm
    has mke2fs || need e2fsprogs
    has mkfs.vfat || need dosfstools
    has mcopy || need mtools
    has sfdisk || need fdisk
    has chromium || need chromium
    has certutil || need libnss3-tools
fi
if [ "$purpose" = test-vm ]; then
    has qemu-system-x86_64 || need qemu-system-x86
fi
if [ "$purpose" = test-pi3 ]; then
    has qemu-system-aarch64 || need qemu-system-arm
    has qemu-aarch64-static || need qemu-user-static
fi
if [ "$purpose" = test-browser ]; then
    # More browsers, for `make test-browser` alone.  Firefox, 70 MB: it finds H.264 in libavcodec.
    has firefox-esr || wished="$wished firefox-esr"
    ldconfig -p | grep -q libavcodec || wished="$wished libavcodec-extra"
    # WebKit, 25 MB, on a virtual screen. It plays films with GStreamer.
    has WebKitWebDriver || wished="$wished webkit2gtk-driver"
    has Xvfb || wished="$wished xvfb"
    dpkg -s gstreamer1.0-libav >/dev/null 2>&1 || wished="$wished gstreamer1.0-libav"
fi
if [ "$purpose" = test ] || [ "$purpose" = desk ] || [ "$purpose" = run-desk ]; then
    # WeasyPrint, which makes the desk's PDF, draws its letters with Pango.
    pango="libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
    # shellcheck disable=SC2086 # a list of package names is meant to be split
    dpkg -s $pango >/dev/null 2>&1 || need $pango
fi
if [ "$purpose" = test ]; then
    has age || need age
    if [ -f tests/interop/package.json ] && ! has npm; then need nodejs npm; fi
    # The tests of a desk on several machines run a real PostgreSQL, each in a temporary folder.
    dpkg -s postgresql >/dev/null 2>&1 || wished="$wished postgresql"
    # A desk's signing key in a PKCS#11 token.
    has softhsm2-util || wished="$wished softhsm2"
    # The tests of the owner's page drive a real browser. certutil makes it trust the doorbell, as a person would. If
    # they are missing, those tests skip with a reason, so a failure here is harmless.
    has chromium || wished="$wished chromium"
    has certutil || wished="$wished libnss3-tools"
    # A network camera: GStreamer's RTSP server, with what it needs to send H.264, H.265 and sound.
    gstreamer="python3-gi gir1.2-gst-rtsp-server-1.0"
    for which in base good bad ugly; do gstreamer="$gstreamer gstreamer1.0-plugins-$which"; done
    # shellcheck disable=SC2086 # a list of package names is meant to be split
    dpkg -s $gstreamer >/dev/null 2>&1 || wished="$wished $gstreamer"
    # The vault's power cuts on a real ext4, and system calls that fail.
    has mkfs.ext4 || wished="$wished e2fsprogs"
    has strace || wished="$wished strace"
    # The apt repository of releases is signed by a test's own key.
    has gpg-agent || wished="$wished gpg gpg-agent"
    # The installation test needs a container, which only root can boot.
    if [ "$(id -u)" = 0 ]; then
        # A home behind NAT, a relay and a phone, in network namespaces.
        has nft || wished="$wished nftables iproute2"
        has systemd-nspawn || wished="$wished systemd-container"
        has mmdebstrap || wished="$wished mmdebstrap"
    fi
    # The Pi camera's tests, on the machine's real libcamera.
    if [ -f tests/hardware/virtual_camera.c ]; then
        # Debian 12 has no libcamera binding (Raspberry Pi OS has one). There the tests skip with a reason.
        /usr/bin/python3 -c 'import libcamera' 2>/dev/null || wished="$wished python3-libcamera libcamera-ipa"
        has gcc || need gcc libc6-dev linux-libc-dev
    fi
fi
[ -n "$missing$wished" ] || exit 0
missing=${missing# }
wished=${wished# }

# --- Install it.

command_line="apt-get install --no-install-recommends $missing"
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif has sudo; then
    as_root=sudo
elif [ -z "$missing" ]; then
    say "Without $wished some of it is skipped, and says so.  As root:  apt-get install $wished"
    exit 0
else
    fail "These Debian packages are missing: $missing." "As root, run:  apt-get update && $command_line"
fi

if [ -n "$missing" ]; then
    say "Missing Debian packages: $missing"
    say "Installing them:  $as_root${as_root:+ }$command_line"
fi

# Debian starts a service at its installation. The user did not ask for a system broker on port 1883 (the demo runs a
# private one), or for a motion daemon that takes the camera. policy-rc.d is Debian's way to prevent the start. Our file
# covers only these two services, exists only during this call, and is harmless if a power cut leaves it behind.
policy=/usr/sbin/policy-rc.d
our_policy=""
quiet_services() {
    [ -e $policy ] && return
    our_policy=$policy
    # shellcheck disable=SC2016 # the $* is for the file, not for us
    printf '%s\n' '#!/bin/sh' '# Made by Doorward for one apt call; safe to delete.' \
        'case " $* " in *" mosquitto"* | *" motion"* | *" postgresql"*) exit 101 ;; esac' 'exit 0' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
}
tidy() { [ -z "$our_policy" ] || $as_root rm -f "$our_policy"; }
trap tidy EXIT
trap 'exit 130' INT TERM

mkdir -p .cache
log=.cache/apt.log
: >"$log"
# If a fresh machine already runs apt, wait for it.
apt_get() { $as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1; }
# shellcheck disable=SC2086 # a list of package names is meant to be split
install() { apt_get install -y --no-install-recommends $missing; }
lists_are_empty() { [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' 2>/dev/null | head -n 1)" ]; }
update() {
    say "Fetching the package lists:  $as_root${as_root:+ }apt-get update"
    apt_get update
}

case " $missing $wished " in *" mosquitto "* | *" motion "* | *" postgresql"*) quiet_services ;; esac
if lists_are_empty; then update || true; fi
# Old lists name files that the mirror has removed, so the second try follows an update.
[ -z "$missing" ] || install || { update && install; } || {
    tail -n 5 "$log" >&2
    fail "apt could not install: $missing (all of its words are in $log)." \
        "As root, run:  apt-get update && $command_line"
}

if [ -n "$wished" ]; then
    say "Installing what only some of it wants:  apt-get install --no-install-recommends $wished"
    for each in $wished; do # one by one: a system lacks this or that one
        apt_get install -y --no-install-recommends "$each" ||
            say "There is no $each here: what wants it will be skipped."
    done
fi
if [ -n "$our_policy" ] && [ -d /run/systemd/system ]; then
    for each in mosquitto motion postgresql; do
        case " $missing $wished " in *" $each "*) ;; *) continue ;; esac
        $as_root systemctl disable --quiet $each.service 2>>"$log" || true
        say "The system's own $each service stays off.  To use it:  sudo systemctl enable --now $each"
    done
fi
say "Done."
