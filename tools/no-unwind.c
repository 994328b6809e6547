/* Replaces libunwind.a for builds with Debian's Rust packages (tools/rust), which have none for musl.
 * In these builds every panic aborts, so nothing is unwound, but std's backtrace code refers to these functions. */

int _Unwind_Backtrace(void *callback, void *argument)
{
	(void)callback;
	(void)argument;
	return 0;
}

unsigned long _Unwind_GetIP(void *context)
{
	(void)context;
	return 0;
}
