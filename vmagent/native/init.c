/* Process 1 of a container made with --init: starts the command, forwards every signal to it, reaps orphaned
 * processes, and exits with the command's status (128 + n if signal n ended it).
 *   init -- COMMAND [ARGUMENT...]
 * Exit status 127: command not found, 126: not executable, 125: wrong use. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signals that report a fault of this process, or that stop it, are not forwarded. */
static const int kept[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};

static pid_t start(char **argv, const sigset_t *inherited) {
    pid_t child = fork();
    if (child != 0) return child;
    /* A process group of its own, in the foreground of the terminal if there is one: only it gets Ctrl-C. */
    setpgid(0, 0);
    if (isatty(STDIN_FILENO)) tcsetpgrp(STDIN_FILENO, getpgrp());
    sigprocmask(SIG_SETMASK, inherited, NULL);
    execvp(argv[0], argv);
    fprintf(stderr, "init: exec %s: %s\n", argv[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

/* Reap every process that has ended; returns 1 and sets the exit status if `child` was one of them. */
static int reap(pid_t child, int *status) {
    int word, ended = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &word, WNOHANG)) > 0) {
        if (pid != child) continue;
        *status = WIFSIGNALED(word) ? 128 + WTERMSIG(word) : WEXITSTATUS(word);
        ended = 1;
    }
    return ended;
}

int main(int argc, char **argv) {
    if (argc < 3 || strcmp(argv[1], "--") != 0) {
        fprintf(stderr, "usage: init -- COMMAND [ARGUMENT...]\n");
        return 125;
    }
    sigset_t all, inherited;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) sigdelset(&all, kept[i]);
    sigprocmask(SIG_SETMASK, &all, &inherited);
    /* tcsetpgrp by a background process would stop us. */
    signal(SIGTTOU, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    pid_t child = start(argv + 2, &inherited);
    if (child < 0) {
        fprintf(stderr, "init: fork: %s\n", strerror(errno));
        return 126;
    }
    for (;;) {
        siginfo_t info;
        int signal_number = sigwaitinfo(&all, &info), status;
        if (signal_number < 0) continue;
        if (signal_number != SIGCHLD) {
            kill(child, signal_number);
            continue;
        }
        if (reap(child, &status)) return status;
    }
}
