/* Replaces libunwind.a where a musl target comes without one (Debian's way in `tools/rust`).
 * There every panic aborts, so nothing is ever unwound; only std's backtrace still names these two. */

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
