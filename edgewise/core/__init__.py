"""The words of edgewise: frozen values that every room shares. No I/O, no torch; numpy and msgspec only."""
