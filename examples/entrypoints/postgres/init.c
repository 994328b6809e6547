/*
 * The step before the server, in an image without a shell: makes the database in $PGDATA if there is none.
 *
 * initdb(1) needs a shell, because it uses popen(3). So make-root has run it, and the result is /template in the image.
 * This program copies it and sets the password, which is $POSTGRES_PASSWORD. The copy gets its final name when it is
 * complete; an incomplete copy of an earlier start is deleted. On an error this program prints a message and exits with
 * 1: then vsrun does not start the server.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static _Noreturn void fail(const char *what, const char *name)
{
	fprintf(stderr, "init: %s%s\n", what, name);
	exit(1);
}

/* Starts a program with this standard input. Its standard output is /dev/null: postgres would print a prompt. */
static pid_t start(int input, char **args)
{
	posix_spawn_file_actions_t actions;
	pid_t child;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&child, args[0], &actions, NULL, args, environ))
		fail("cannot start ", args[0]);
	return child;
}

static void await_success(pid_t child, const char *name)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			fail("cannot wait for ", name);
	if (status)
		fail("this program failed: ", name);
}

static void run(char **args)
{
	await_success(start(0, args), args[0]);
}

/* In single-user mode a newline ends a command. In SQL strings a quote is written twice. */
static void set_password(const char *password, char *directory)
{
	char *args[] = {"/usr/bin/postgres", "--single", "-D", directory, "-c", "exit_on_error=on",
		"-c", "log_min_error_statement=panic", "postgres", NULL};
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC))
		fail("cannot make a pipe", "");
	pid_t child = start(pipe_fds[0], args);
	close(pipe_fds[0]);
	FILE *to = fdopen(pipe_fds[1], "w");
	if (!to)
		fail("no memory", "");
	fputs("ALTER USER postgres PASSWORD '", to);
	for (; *password; password++) {
		if (*password == '\'')
			fputc('\'', to);
		fputc(*password, to);
	}
	fputs("'\n", to);
	if (fclose(to))
		fail("cannot write to postgres", "");
	await_success(child, args[0]);
}

int main(void)
{
	const char *data = getenv("PGDATA"), *password = getenv("POSTGRES_PASSWORD");
	char new[4096], version[4096];
	if (!data || strlen(data) > sizeof new - 20)
		fail("PGDATA is not set, or is too long", "");
	sprintf(new, "%s.new", data);
	sprintf(version, "%s/PG_VERSION", data);
	if (access(version, F_OK) == 0)
		return 0;
	if (!password || !*password || strchr(password, '\n'))
		fail("POSTGRES_PASSWORD is not set, is empty or has more than one line", "");
	run((char *[]){"/bin/rm", "-rf", new, NULL});
	run((char *[]){"/bin/cp", "-R", "/template", new, NULL});
	set_password(password, new);
	/* Write the copy to the disk before it gets its final name, as initdb does. */
	int directory = open(new, O_RDONLY | O_DIRECTORY);
	if (directory < 0 || syncfs(directory))
		fail("cannot write the new database to the disk: ", strerror(errno));
	/* rename(2) also replaces an empty directory, such as that of a new volume. */
	if (rename(new, data))
		fail("cannot rename the new database: ", strerror(errno));
	return 0;
}
