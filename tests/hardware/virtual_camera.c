/**
 * Test-only LD_PRELOAD: adds the parts that libcamera's virtual pipeline lacks on a machine that is not a Pi, without
 * root.
 *
 * 1. /dev/udmabuf and the dma-heaps, answered with memfds if the kernel has none.  Real ones are left alone.
 * 2. The pipeline's configuration: libcamera 0.4 reads it only from one fixed place below /usr/share.  Here that name
 *    leads to $DOORWARD_VIRTUAL_CAMERA, so that all writes stay in the repository.
 * 3. Zeroed memory from C++ new: libcamera 0.4.0 leaves a frame's status uninitialised, picamera2 drops such frames.
 *
 * Sources: linux/udmabuf.h, linux/dma-heap.h, linux/dma-buf.h; libcamera src/libcamera/pipeline/virtual.
 * Build: gcc -O2 -shared -fPIC -o virtual_camera.so virtual_camera.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>

static const char configuration[] = "/usr/share/libcamera/pipeline/virtual/virtual.yaml";

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

static const char *lead(const char *path)
{
	const char *own = getenv("DOORWARD_VIRTUAL_CAMERA");
	return own && path && strcmp(path, configuration) == 0 ? own : path;
}

static int is_provider(const char *path)
{
	return path && (strcmp(path, "/dev/udmabuf") == 0 || strcmp(path, "/dev/dma_heap/linux,cma") == 0);
}

static int provider(void) { return memfd_create("no-dma-buf-here", MFD_CLOEXEC); }

static int opened(int fd, const char *path)
{
	return fd < 0 && errno == ENOENT && is_provider(path) ? provider() : fd;
}

/* The mode is there only when a file may be made. */
#define MODE(flags) ({ mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { \
	va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } mode; })

int open(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return opened(REAL(open)(lead(path), flags, mode), path);
}

int open64(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return opened(REAL(open64)(lead(path), flags, mode), path);
}

int openat(int directory, const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return opened(REAL(openat)(directory, lead(path), flags, mode), path);
}

int stat(const char *path, struct stat *found) { return REAL(stat)(lead(path), found); }

int stat64(const char *path, struct stat64 *found) { return REAL(stat64)(lead(path), found); }

int access(const char *path, int mode) { return REAL(access)(lead(path), mode); }

/* Asked only after the kernel refused: the descriptor is then one of our memfds, or the request is really wrong. */
static int answer(int fd, unsigned int request, void *argument)
{
	(void)fd;
	if (request == (unsigned int)UDMABUF_CREATE)
		return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
	if (request == (unsigned int)DMA_HEAP_IOCTL_ALLOC) {
		struct dma_heap_allocation_data *wanted = argument;
		int fd_of_memory = memfd_create("dma-heap", MFD_CLOEXEC);
		if (fd_of_memory < 0 || ftruncate(fd_of_memory, wanted->len) != 0)
			return -1;
		wanted->fd = fd_of_memory;
		return 0;
	}
	if (_IOC_TYPE(request) == 'b') /* DMA_BUF_SET_NAME, DMA_BUF_IOCTL_SYNC: memory needs neither */
		return 0;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list more;
	va_start(more, request);
	void *argument = va_arg(more, void *);
	va_end(more);
	int result = REAL(ioctl)(fd, request, argument);
	if (result >= 0 || (errno != ENOTTY && errno != EINVAL))
		return result;
	int kept = errno;
	result = answer(fd, (unsigned int)request, argument);
	if (result < 0)
		errno = kept;
	return result;
}

void *_Znwm(size_t size) /* operator new(size_t) */
{
	void *memory = calloc(1, size ? size : 1);
	if (!memory)
		abort();
	return memory;
}
