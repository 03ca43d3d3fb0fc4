/* Plays a raw file to Debian's `motion` as if it were /dev/video0, by LD_PRELOAD; no kernel module needed.
 *
 * BENCH_FRAMES   file of YUV420 frames, 1.5 * width * height bytes each
 * BENCH_SIZE     "320x240"
 * BENCH_FPS      frames a second
 * BENCH_COUNT    frames to give (the file is repeated); then the process ends
 * BENCH_PACED    1: give frames in real time and measure; 0: as fast as motion takes them, with the clock following the
 *                frames, so that everything motion does by the clock it does as it would on a camera
 * BENCH_COST     file for the thread's own CPU nanoseconds between two frames, one line each
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 4
#define EPOCH 1700000000L

static int camera_fd = -1, frames_fd = -1, width, height, fps, paced;
static long given, count, in_file;
static size_t frame_bytes, buffer_bytes;
static unsigned char *frames, *buffers;
static int queue[BUFFERS], queued;
static FILE *cost;
static long long resumed_ns, due_ns;
static __thread int is_detector;

static int (*real_open)(const char *, int, ...);
static int (*real_ioctl)(int, unsigned long, ...);
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_nanosleep)(const struct timespec *, struct timespec *);

/* Other libraries' constructors may call before ours has run. */
static void find(void)
{
    real_open = dlsym(RTLD_NEXT, "open");
    real_ioctl = dlsym(RTLD_NEXT, "ioctl");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_nanosleep = dlsym(RTLD_NEXT, "nanosleep");
}

__attribute__((constructor)) static void begin(void)
{
    find();
    if (!getenv("BENCH_FRAMES"))
        return;
    sscanf(getenv("BENCH_SIZE"), "%dx%d", &width, &height);
    fps = atoi(getenv("BENCH_FPS"));
    count = atol(getenv("BENCH_COUNT"));
    paced = atoi(getenv("BENCH_PACED"));
    frame_bytes = (size_t)width * height * 3 / 2;
    buffer_bytes = (frame_bytes + 4095) & ~(size_t)4095;
    frames_fd = real_open(getenv("BENCH_FRAMES"), O_RDONLY);
    struct stat found;
    fstat(frames_fd, &found);
    in_file = found.st_size / (long)frame_bytes;
    frames = mmap(NULL, found.st_size, PROT_READ, MAP_SHARED, frames_fd, 0);
    if (getenv("BENCH_COST"))
        cost = fopen(getenv("BENCH_COST"), "w");
}

static long long now_ns(clockid_t clock)
{
    struct timespec now;
    real_clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int give(struct v4l2_buffer *buffer)
{
    is_detector = 1;
    if (cost && resumed_ns)
        fprintf(cost, "%lld\n", now_ns(CLOCK_THREAD_CPUTIME_ID) - resumed_ns);
    if (given >= count) {
        if (cost)
            fclose(cost);
        _exit(0);
    }
    if (paced) {
        long long now = now_ns(CLOCK_MONOTONIC);
        due_ns = due_ns ? due_ns + 1000000000LL / fps : now;
        if (due_ns > now) {
            struct timespec wait = {(due_ns - now) / 1000000000LL, (due_ns - now) % 1000000000LL};
            real_nanosleep(&wait, NULL);
        }
    }
    int index = queue[0];
    memmove(queue, queue + 1, sizeof queue - sizeof *queue);
    queued--;
    memcpy(buffers + index * buffer_bytes, frames + (given % in_file) * frame_bytes, frame_bytes);
    given++;
    buffer->index = index;
    buffer->bytesused = buffer->length = frame_bytes;
    buffer->m.offset = index * buffer_bytes;
    buffer->flags = 0;
    resumed_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    return 0;
}

static int answer(unsigned long request, void *argument)
{
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *it = argument;
        memset(it, 0, sizeof *it);
        strcpy((char *)it->card, "bench");
        it->capabilities = it->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *it = argument;
        if (it->index)
            break;
        it->pixelformat = V4L2_PIX_FMT_YUV420;
        return 0;
    }
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_G_FMT: {
        struct v4l2_format *it = argument;
        it->fmt.pix.width = width;
        it->fmt.pix.height = height;
        it->fmt.pix.pixelformat = V4L2_PIX_FMT_YUV420;
        it->fmt.pix.bytesperline = width;
        it->fmt.pix.sizeimage = frame_bytes;
        it->fmt.pix.field = V4L2_FIELD_NONE;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *it = argument;
        it->count = BUFFERS;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *it = argument;
        it->length = frame_bytes;
        it->m.offset = it->index * buffer_bytes;
        return 0;
    }
    case VIDIOC_QBUF:
        queue[queued++] = ((struct v4l2_buffer *)argument)->index;
        return 0;
    case VIDIOC_DQBUF:
        return give(argument);
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *it = argument;
        if (it->index)
            break;
        it->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
    case VIDIOC_S_PARM:
    case VIDIOC_G_PARM:
        return 0;
    }
    errno = EINVAL;
    return -1;
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    if (frames && strcmp(path, "/dev/video0") == 0) {
        camera_fd = memfd_create("camera", 0);
        if (ftruncate(camera_fd, BUFFERS * buffer_bytes))
            return -1;
        buffers = mmap(NULL, BUFFERS * buffer_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, camera_fd, 0);
        return camera_fd;
    }
    if (!real_open)
        find();
    return real_open(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return open(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (!real_ioctl)
        find();
    return fd == camera_fd && fd >= 0 ? answer(request & 0xffffffffUL, argument) : real_ioctl(fd, request, argument);
}

/* The clock of the frames. */

static int framed(struct timespec *now)
{
    long long ns = given * (1000000000LL / fps);
    now->tv_sec = EPOCH + ns / 1000000000LL;
    now->tv_nsec = ns % 1000000000LL;
    return 0;
}

static int follows_frames(clockid_t clock)
{
    return frames && !paced && (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!real_clock_gettime)
        find();
    return follows_frames(clock) ? framed(now) : real_clock_gettime(clock, now);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out)
        *out = exact.tv_sec;
    return exact.tv_sec;
}

int nanosleep(const struct timespec *wait, struct timespec *left)
{
    if (!real_nanosleep)
        find();
    return is_detector && !paced ? 0 : real_nanosleep(wait, left);
}
