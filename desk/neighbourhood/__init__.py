"""Pages for everybody, without sign-in: bulletins to read and check, tips, and what neighbours ask and tell each other.

`published`, `feed`, `cap`, `proof`   bulletins            `tip_relay`, `tip_views`           tips from any browser
`submissions`, `neighbour_views`      what neighbours write `moderation`, `moderation_views`  what moderators decide
`notices`                             notices that are shown
"""
