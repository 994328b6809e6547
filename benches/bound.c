/*
 * The program that measures the lower bounds in `make bench`, and the server that all measured programs start. It is
 * small, static and linked with musl.
 *
 * As a launcher or supervisor it makes only the system calls that the task needs, without checks, messages and error
 * handling. So it is not for practical use: its figures show what the machine itself needs for the task.
 *
 *   bound true                        exits with 0 at once
 *   bound user ID COMMAND...          executes COMMAND as user ID and group ID, without supplementary groups
 *   bound before ID COMMAND...        runs COMMAND like `user`, waits, then executes it: a step and a server
 *   bound init COMMAND...             runs COMMAND as a child: forwards signals, reaps, exits with the child's status
 *   bound restart COMMAND...          like `init`, but starts COMMAND again when it exits, until TERM was received
 *   bound serve FIFO                  a server: writes a record to FIFO at its start and after each USR1
 *   bound fail FIFO                   a server that fails: writes a record to FIFO and exits with 1
 *   bound write SIZE COUNT            writes COUNT blocks of SIZE bytes to standard output, in lines of 100 bytes
 *   bound boot                        prints `clock N` and exits (as PID 1: waits); a server, or the init of a machine
 *   run                               (as program name) `serve` with the file `fifo` of the working directory; without
 *                                     that file, `fail` with the file `crash`
 *
 * A record is three 64-bit integers: pid, time of the start or of USR1, time of writing. Times are in nanoseconds of
 * CLOCK_MONOTONIC.
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

static void write_record(int to, int64_t start)
{
	int64_t record[3] = {getpid(), start, now()};
	if (write(to, record, sizeof record) != sizeof record)
		_exit(111);
}

/* arguments: user and group id, command. Calls the kernel directly, because musl's functions also change other threads. */
static int exec_as_user(char **arguments)
{
	long id = strtol(arguments[0], NULL, 10);
	if (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresgid, id, id, id) || syscall(SYS_setresuid, id, id, id))
		return 125;
	execve(arguments[1], arguments + 1, environ);
	return 127;
}

static int run_then_exec_as_user(char **arguments)
{
	int status;
	pid_t child = vfork();
	if (child == 0)
		_exit(exec_as_user(arguments));
	waitpid(child, &status, 0);
	return status ? 125 : exec_as_user(arguments);
}

static pid_t start_server(char **command, const sigset_t *mask)
{
	pid_t child = vfork();
	if (child == 0) {
		setsid();
		sigprocmask(SIG_SETMASK, mask, NULL);
		execve(command[0], command, environ);
		_exit(127);
	}
	return child;
}

static int supervise(char **command, int restart)
{
	sigset_t all, old_mask;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old_mask);
	pid_t server = start_server(command, &old_mask);
	for (;;) {
		int signal = sigwaitinfo(&all, NULL), status;
		if (signal != SIGCHLD) {
			if (signal == SIGTERM)
				restart = 0;
			kill(server, signal);
			continue;
		}
		for (pid_t child; (child = waitpid(-1, &status, WNOHANG)) > 0;) {
			if (child != server)
				continue;
			if (!restart)
				return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			server = start_server(command, &old_mask);
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
		write_record(to, start);
		sigwaitinfo(&usr1, NULL);
		start = now();
	}
}

static int write_blocks(size_t size, long count)
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

/* Converts the number without printf(3), whose code would be a large part of the initramfs that is measured. */
static int print_clock(int64_t start)
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
		return print_clock(start);
	/* Supervisors that use service directories start it by the name `run`, some with arguments. */
	size_t name = strlen(argv[0]);
	int is_run = argc < 2 || (name >= 3 && !strcmp(argv[0] + name - 3, "run"));
	const char *mode = is_run ? "run" : argv[1];
	if (!strcmp(mode, "user"))
		return exec_as_user(argv + 2);
	if (!strcmp(mode, "before"))
		return run_then_exec_as_user(argv + 2);
	if (!strcmp(mode, "init") || !strcmp(mode, "restart"))
		return supervise(argv + 2, mode[0] == 'r');
	if (!strcmp(mode, "write"))
		return write_blocks(atol(argv[2]), atol(argv[3]));
	if (!strcmp(mode, "serve"))
		serve(open(argv[2], O_WRONLY), start);
	int to = -1;
	if (!strcmp(mode, "fail"))
		to = open(argv[2], O_WRONLY);
	else if (is_run) {
		to = open("fifo", O_WRONLY);
		if (to >= 0)
			serve(to, start);
		to = open("crash", O_WRONLY);
	}
	if (to < 0)
		return 0;
	write_record(to, start);
	return 1;
}
