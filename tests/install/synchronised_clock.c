/* adjtimex(3) of a machine with a clock that a time server sets: TIME_OK. The containers share the clock of a host that may have none. */
int adjtimex(void *state)
{
    (void)state;
    return 0;
}
