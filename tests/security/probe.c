/* What a process can see, open and call: one "section<TAB>name<TAB>value" per line. Linux, x86_64, static.
 *
 * Run as a container's command. It changes nothing: files are opened and closed, and system calls are asked for under a
 * filter of its own that lets a tracer step in before any is carried out, so that only the container's verdict is seen.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *word(int error) {
  static char number[16];
  switch (error) {
  case 0: return "ok";
  case EPERM: return "EPERM";
  case EACCES: return "EACCES";
  case ENOSYS: return "ENOSYS";
  case ENOENT: return "ENOENT";
  case ENXIO: return "ENXIO";
  case ENODEV: return "ENODEV";
  case EROFS: return "EROFS";
  case EBUSY: return "EBUSY";
  case EIO: return "EIO";
  case EINVAL: return "EINVAL";
  case ENOTTY: return "ENOTTY";
  }
  snprintf(number, sizeof number, "errno%d", error);
  return number;
}

/* --- the process itself */

static void show_lines(const char *section, const char *path) {
  char line[8192];
  FILE *file = fopen(path, "re");
  int count = 0;
  if (!file) {
    printf("%s\t-\t%s\n", section, word(errno));
    return;
  }
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    printf("%s\t%03d\t%s\n", section, count++, line);
  }
  fclose(file);
}

static void show_status(void) {
  static const char *const wanted[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
                                       "Seccomp_filters", "Groups", "Uid", "Gid", "Umask", "SigBlk", "SigIgn",
                                       "SigCgt", "CoreDumping", "Speculation_Store_Bypass", "Cpus_allowed"};
  char line[4096];
  FILE *file = fopen("/proc/self/status", "re");
  while (file && fgets(line, sizeof line, file)) {
    char *colon = strchr(line, ':');
    if (!colon) continue;
    *colon++ = 0;
    colon += strspn(colon, "\t ");
    colon[strcspn(colon, "\n")] = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
      if (!strcmp(line, wanted[i])) printf("process\t%s\t%s\n", line, colon);
  }
  if (file) fclose(file);
  printf("process\tsecurebits\t%d\n", prctl(PR_GET_SECUREBITS));
  printf("process\tdumpable\t%d\n", prctl(PR_GET_DUMPABLE));
  printf("process\tkeepcaps\t%d\n", prctl(PR_GET_KEEPCAPS));
  printf("process\tsession leader\t%d\n", getsid(0) == getpid());
  char cwd[4096];
  printf("process\tcwd\t%s\n", getcwd(cwd, sizeof cwd) ? cwd : word(errno));
  for (int which = 0; which < 16; which++) {
    struct rlimit limit;
    if (getrlimit(which, &limit)) continue;
    printf("rlimits\t%02d\t%lld %lld\n", which, (long long)limit.rlim_cur, (long long)limit.rlim_max);
  }
  for (int fd = 0; fd < 1024; fd++) {
    char link[64], target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) continue;
    target[length] = 0;
    if (!strncmp(target, "pipe:", 5) || !strncmp(target, "socket:", 7)) strchr(target, ':')[1] = 0;
    printf("descriptors\t%d\t%s flags %o\n", fd, target, fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_PATH));
  }
  static const char *const spaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
  for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
    char link[64], target[128];
    snprintf(link, sizeof link, "/proc/self/ns/%s", spaces[i]);
    ssize_t length = readlink(link, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = 0;
    printf("namespaces\t%s\t%s\n", spaces[i], target);
  }
  show_lines("oom", "/proc/self/oom_score_adj");
  show_lines("label", "/proc/self/attr/current");
  show_lines("idmap", "/proc/self/uid_map");
  show_lines("mounts", "/proc/self/mountinfo");
  show_lines("cgroups", "/proc/self/cgroup");
}

/* --- files */

static int tried(const char *path, int flags) {
  int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

/* One line per file: its kind, r if it opens for reading, b if a byte could be read (proc only), w if it opens for
 * writing. Nothing is written. */
static void walk(const char *section, const char *path, int depth, int reads) {
  DIR *folder = opendir(path);
  if (!folder) return;
  struct dirent *entry;
  while ((entry = readdir(folder))) {
    const char *name = entry->d_name;
    char full[4096], flags[16];
    struct stat info;
    int at = 0;
    if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
    if (!strcmp(path, "/") && (!strcmp(name, "proc") || !strcmp(name, "sys") || !strcmp(name, "dev"))) continue;
    if (!strcmp(section, "proc") && depth == 0 && name[0] >= '0' && name[0] <= '9') continue;
    if (!strcmp(section, "proc") && (!strcmp(name, "task") || !strcmp(name, "map_files"))) continue;
    if (strstr(path, "/self/fd") || strstr(path, "/self/net") || strstr(path, "/thread-self")) continue;
    snprintf(full, sizeof full, "%s/%s", strcmp(path, "/") ? path : "", name);
    if (lstat(full, &info)) continue;
    switch (info.st_mode & S_IFMT) {
    case S_IFDIR:
      printf("%s\t%s\td%s%s\n", section, full, faccessat(AT_FDCWD, full, R_OK, AT_EACCESS) ? "" : "r",
             faccessat(AT_FDCWD, full, W_OK, AT_EACCESS) ? "" : "w");
      if (depth < 40) walk(section, full, depth + 1, reads);
      break;
    case S_IFREG:
      flags[at++] = 'f';
      if (!tried(full, O_RDONLY)) {
        flags[at++] = 'r';
        char byte;
        int fd = reads ? open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
        if (fd >= 0 && read(fd, &byte, 1) == 1) flags[at++] = 'b';
        if (fd >= 0) close(fd);
      }
      if (!tried(full, O_WRONLY)) flags[at++] = 'w';
      flags[at] = 0;
      printf("%s\t%s\t%s\n", section, full, flags);
      break;
    case S_IFCHR:
    case S_IFBLK:
      printf("%s\t%s\t%c %d:%d %o read %s", section, full, S_ISCHR(info.st_mode) ? 'c' : 'b', major(info.st_rdev),
             minor(info.st_rdev), info.st_mode & 07777, word(tried(full, O_RDONLY)));
      printf(" write %s\n", word(tried(full, O_WRONLY)));
      break;
    case S_IFLNK: {
      char target[4096];
      ssize_t length = readlink(full, target, sizeof target - 1);
      target[length < 0 ? 0 : length] = 0;
      if (!strcmp(section, "dev")) printf("%s\t%s\tlink to %s\n", section, full, target);
      break;
    }
    }
  }
  closedir(folder);
}

static void show_device(int kind, int number_major, int number_minor) {
  char name[32];
  snprintf(name, sizeof name, "/probe-%c-%d-%d", kind == S_IFCHR ? 'c' : 'b', number_major, number_minor);
  int made = mknod(name, kind | 0600, makedev(number_major, number_minor)) ? errno : 0;
  printf("devices\t%c %d:%d\tmknod %s", kind == S_IFCHR ? 'c' : 'b', number_major, number_minor, word(made));
  if (!made) {
    printf(" read %s", word(tried(name, O_RDONLY)));
    printf(" write %s", word(tried(name, O_WRONLY)));
    unlink(name);
  }
  printf("\n");
}

/* Every major number that a kernel may serve, with its minor 0, and the single ones of which attacks are made. Watchdogs
 * are left out: opening one is no harmless act where the list of devices fails. */
static void show_devices(void) {
  static const int single[][2] = {{1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {1, 11}, {5, 0},
                                  {5, 1}, {5, 2}, {4, 64}, {10, 200}, {10, 229}, {10, 232}, {10, 237}, {10, 235}};
  for (int number = 1; number < 260; number++)
    if (number != 10 && number != 250) show_device(S_IFCHR, number, 0);
  for (size_t i = 0; i < sizeof single / sizeof *single; i++) show_device(S_IFCHR, single[i][0], single[i][1]);
  for (int number = 1; number < 260; number++) show_device(S_IFBLK, number, 0);
}

/* --- system calls */

enum { NATIVE, X32, I386, KINDS };
struct call {
  int kind;
  unsigned number;
  unsigned long args[3];
};
enum { MAX_CALLS = 3000, CARRIED_OUT = -3999, UNKNOWN = -4000, KILLED = -4001 };
static struct shared {
  volatile int at, count;
  volatile long answers[MAX_CALLS];
  struct call calls[MAX_CALLS];
} *shared;

static long ask(const struct call *call) {
  long answer;
  if (call->kind == I386) {
    __asm__ volatile("int $0x80"
                     : "=a"(answer)
                     : "0"((unsigned long)call->number), "b"(call->args[0]), "c"(call->args[1]), "d"(call->args[2])
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)answer;
  }
  unsigned long number = call->kind == X32 ? call->number | 0x40000000UL : call->number;
  register long fourth __asm__("r10") = 0, fifth __asm__("r8") = 0, sixth __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "=a"(answer)
                   : "0"(number), "D"(call->args[0]), "S"(call->args[1]), "d"(call->args[2]), "r"(fourth), "r"(fifth),
                     "r"(sixth)
                   : "rcx", "r11", "memory");
  return answer;
}

/* Asks from call to call. Every one that the container's filter lets through stops at the tracer: of two filters'
 * answers the kernel takes the stricter, and "trace" comes after "errno" and before "allow". */
static void asker(void) {
  static struct sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRACE}};
  struct sock_fprog program = {1, code};
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(3);
  while (shared->at < shared->count) {
    shared->answers[shared->at] = ask(&shared->calls[shared->at]);
    shared->at++;
  }
  __asm__ volatile("int3");
}

static int trace(void) {
  pid_t child = fork();
  if (child == 0) asker();
  int status, is_done = 0;
  if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) return -1;
  ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
  ptrace(PTRACE_CONT, child, 0, 0);
  while (waitpid(child, &status, 0) == child) {
    if (WIFEXITED(status) || WIFSIGNALED(status)) break;
    if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_SECCOMP << 8))) {
      struct user_regs_struct registers;
      ptrace(PTRACE_GETREGS, child, 0, &registers);
      registers.orig_rax = -1; /* not carried out */
      registers.rax = CARRIED_OUT;
      ptrace(PTRACE_SETREGS, child, 0, &registers);
      ptrace(PTRACE_CONT, child, 0, 0);
      continue;
    }
    int number = WSTOPSIG(status);
    if (number == SIGTRAP) is_done = 1;
    else shared->answers[shared->at++] = number == SIGSYS ? KILLED : UNKNOWN; /* SIGSEGV: no such entry; SIGILL: uretprobe */
    kill(child, SIGKILL);
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && !is_done) shared->answers[shared->at++] = KILLED;
  return is_done;
}

static void add(int kind, unsigned number, unsigned long first, unsigned long second, unsigned long third) {
  if (shared->count < MAX_CALLS)
    shared->calls[shared->count++] = (struct call){kind, number, {first, second, third}};
}

static void show_calls(void) {
  static const char *const kinds[] = {"x86_64", "x32", "i386"};
  static const unsigned long personas[] = {0, 1, 8, 0x20000, 0x20008, 0x40000, 0xffffffff};
  static const unsigned long controls[] = {0x5412, 0x541c, 0x5403, 0x540e, 0x5401}; /* TIOCSTI, TIOCLINUX … */
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return;
  for (unsigned number = 0; number <= 470; number++)
    for (int kind = 0; kind < KINDS; kind++) add(kind, number, 0, 0, 0);
  for (unsigned domain = 0; domain < 50; domain++) add(NATIVE, SYS_socket, domain, 1, 0);
  for (unsigned domain = 0; domain < 50; domain++) add(I386, 359, domain, 1, 0);
  for (int bit = 0; bit < 33; bit++) add(NATIVE, SYS_clone, 1UL << bit, 0, 0);
  for (int bit = 0; bit < 32; bit++) add(NATIVE, SYS_unshare, 1UL << bit, 0, 0);
  for (size_t i = 0; i < sizeof personas / sizeof *personas; i++) add(NATIVE, SYS_personality, personas[i], 0, 0);
  for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) add(NATIVE, SYS_ioctl, 0, controls[i], 0);
  for (int operation = 0; operation < 30; operation++) add(NATIVE, SYS_keyctl, operation, 0, 0);
  for (int round = 0; round < 2000 && shared->at < shared->count; round++) {
    int done = trace();
    if (done < 0) {
      printf("calls\t-\tcan't trace\n");
      return;
    }
    if (done) break;
  }
  for (int i = 0; i < shared->at; i++) {
    struct call *call = &shared->calls[i];
    long answer = shared->answers[i];
    printf("calls\t%s %u", kinds[call->kind], call->number);
    if (i >= 471 * KINDS) printf(" (0x%lx, 0x%lx)", call->args[0], call->args[1]);
    printf("\t%s\n", answer == CARRIED_OUT ? "allowed" : answer == KILLED ? "killed" : answer == UNKNOWN ? "none"
                                                                                  : word((int)-answer));
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOFBF, 1 << 20);
  show_status();
  walk("dev", "/dev", 0, 0);
  walk("proc", "/proc", 0, 1);
  walk("sys", "/sys", 0, 0);
  walk("root", "/", 0, 0);
  show_devices();
  fflush(stdout);
  show_calls();
  printf("end\t-\t-\n");
  return 0;
}
