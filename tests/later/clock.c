/* Moves the clock, by AHEAD seconds, for every program that asks the C library: tests/later/on_day preloads it.
 *
 * The times of files move with it, else all that a program writes would look as old as the clock is ahead. Timers, waits and the
 * monotonic clock stay what they are. Go's programs ask the kernel themselves and keep its time.
 *
 * Linux on x86_64: there the kernel's struct stat is the C library's, so each call is the plain system call and then an addition. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += AHEAD;
  return failed;
}

time_t time(time_t *where) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (where) *where = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict where, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  where->tv_sec = now.tv_sec;
  where->tv_usec = now.tv_nsec / 1000;
  return 0;
}

int timespec_get(struct timespec *now, int base) { return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0; }

static int look(int folder, const char *path, struct stat *found, int flags) {
  int failed = (int)syscall(SYS_newfstatat, folder, path, found, flags);
  if (!failed) {
    found->st_atim.tv_sec += AHEAD;
    found->st_mtim.tv_sec += AHEAD;
    found->st_ctim.tv_sec += AHEAD;
  }
  return failed;
}

int fstatat(int folder, const char *restrict path, struct stat *restrict found, int flags) { return look(folder, path, found, flags); }
int stat(const char *restrict path, struct stat *restrict found) { return look(AT_FDCWD, path, found, 0); }
int lstat(const char *restrict path, struct stat *restrict found) { return look(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW); }
int fstat(int file, struct stat *found) { return look(file, "", found, AT_EMPTY_PATH); }

int fstatat64(int folder, const char *restrict path, struct stat64 *restrict found, int flags) {
  return look(folder, path, (struct stat *)found, flags);
}
int stat64(const char *restrict path, struct stat64 *restrict found) { return fstatat64(AT_FDCWD, path, found, 0); }
int lstat64(const char *restrict path, struct stat64 *restrict found) { return fstatat64(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW); }
int fstat64(int file, struct stat64 *found) { return fstatat64(file, "", found, AT_EMPTY_PATH); }

int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
  int failed = (int)syscall(SYS_statx, folder, path, flags, mask, found);
  if (!failed) {
    found->stx_atime.tv_sec += AHEAD;
    found->stx_mtime.tv_sec += AHEAD;
    found->stx_ctime.tv_sec += AHEAD;
    found->stx_btime.tv_sec += AHEAD;
  }
  return failed;
}

static int set(int folder, const char *path, const struct timespec given[2], int flags) {
  struct timespec times[2];
  if (!given) return (int)syscall(SYS_utimensat, folder, path, NULL, flags);
  memcpy(times, given, sizeof times);
  for (int i = 0; i < 2; i++)
    if (times[i].tv_nsec != UTIME_NOW && times[i].tv_nsec != UTIME_OMIT) times[i].tv_sec -= AHEAD;
  return (int)syscall(SYS_utimensat, folder, path, times, flags);
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) { return set(folder, path, times, flags); }
int futimens(int file, const struct timespec times[2]) { return set(file, NULL, times, 0); }
