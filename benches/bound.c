/*
 * The lower bounds of `make bench`, and the servers that are measured: one small static program over musl.
 *
 * As a launcher or manager it makes the system calls that the job needs and no others: no check, no message, no error
 * that a caller would get. So it is no program to use; it says what the machine asks for the job.
 *
 *   bound true                        ends at once, with 0
 *   bound user ID COMMAND...          becomes COMMAND as user and group ID, without other groups
 *   bound before ID COMMAND...        runs COMMAND like that, waits for it, and then becomes it: a step and a server
 *   bound init COMMAND...             stays as its parent: passes signals on, reaps, ends as it does
 *   bound keep COMMAND...             the same, but starts it again unless TERM has come
 *   bound serve FIFO                  a server: says in FIFO when it was started, and when each USR1 came
 *   bound die FIFO                    says when it was started and when it ended, and ends with 1
 *   bound pour SIZE COUNT             writes COUNT blocks of SIZE bytes, lines of 100 bytes, to standard output
 *   bound boot                        prints `clock N` and ends: a server, or the init of a machine
 *   run                               serve with the file `fifo` of this directory, or else die with `crash`
 *
 * What is said is a record of three numbers of 64 bits: pid, start and now, in nanoseconds of CLOCK_MONOTONIC.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void tell(int to, int64_t start)
{
	int64_t record[3] = {getpid(), start, now()};
	if (write(to, record, sizeof record) != sizeof record)
		_exit(111);
}

/* The raw calls: musl's own wrappers are for processes with threads. */
static int become(char **words)
{
	long id = strtol(words[0], NULL, 10);
	if (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresgid, id, id, id) || syscall(SYS_setresuid, id, id, id))
		return 125;
	execve(words[1], words + 1, environ);
	return 127;
}

static int before(char **words)
{
	int status;
	pid_t child = vfork();
	if (child == 0)
		_exit(become(words));
	waitpid(child, &status, 0);
	return status ? 125 : become(words);
}

static pid_t start(char **command, const sigset_t *before)
{
	pid_t child = vfork();
	if (child == 0) {
		setsid();
		sigprocmask(SIG_SETMASK, before, NULL);
		execve(command[0], command, environ);
		_exit(127);
	}
	return child;
}

static int stay(char **command, int again)
{
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t server = start(command, &before);
	for (;;) {
		int signal = sigwaitinfo(&all, NULL), status;
		if (signal != SIGCHLD) {
			if (signal == SIGTERM)
				again = 0;
			kill(server, signal);
			continue;
		}
		for (pid_t child; (child = waitpid(-1, &status, WNOHANG)) > 0;) {
			if (child != server)
				continue;
			if (!again)
				return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			server = start(command, &before);
		}
	}
}

static _Noreturn void serve(int to, int64_t start)
{
	sigset_t usr1;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	for (;;) {
		tell(to, start);
		sigwaitinfo(&usr1, NULL);
		start = now();
	}
}

static int pour(size_t size, long count)
{
	char *block = malloc(size);
	for (size_t i = 0; i < size; i++)
		block[i] = i % 100 == 99 ? '\n' : 'a' + i % 26;
	while (count-- > 0)
		for (size_t done = 0; done < size;) {
			ssize_t n = write(1, block + done, size - done);
			if (n < 0)
				return 1;
			done += n;
		}
	return 0;
}

/* Digits by hand: what the C library needs for them would be a part of the initramfs that is measured. */
static int boot(int64_t start)
{
	char text[] = "clock                    \n", *end = text + sizeof text - 2;
	for (int64_t rest = start; rest; rest /= 10)
		*--end = '0' + rest % 10;
	write(1, text, sizeof text - 1);
	if (getpid() == 1)
		pause();
	return 0;
}

int main(int argc, char **argv)
{
	int64_t start = now();
	if (getpid() == 1 || (argc > 1 && !strcmp(argv[1], "boot")))
		return boot(start);
	/* Supervisors of directories call it `run`, some with words of their own. */
	size_t name = strlen(argv[0]);
	int here = argc < 2 || (name >= 3 && !strcmp(argv[0] + name - 3, "run"));
	const char *mode = here ? "here" : argv[1];
	if (!strcmp(mode, "user"))
		return become(argv + 2);
	if (!strcmp(mode, "before"))
		return before(argv + 2);
	if (!strcmp(mode, "init") || !strcmp(mode, "keep"))
		return stay(argv + 2, mode[0] == 'k');
	if (!strcmp(mode, "pour"))
		return pour(atol(argv[2]), atol(argv[3]));
	if (!strcmp(mode, "serve"))
		serve(open(argv[2], O_WRONLY), start);
	int to = -1;
	if (!strcmp(mode, "die"))
		to = open(argv[2], O_WRONLY);
	else if (!strcmp(mode, "here")) {
		to = open("fifo", O_WRONLY);
		if (to >= 0)
			serve(to, start);
		to = open("crash", O_WRONLY);
	}
	if (to < 0)
		return 0;
	tell(to, start);
	return 1;
}
