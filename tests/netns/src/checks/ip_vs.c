/* Preloaded into keepalived where the kernel has no ip_vs: says yes to whatever it asks of one. Its checks
 * need none, but it does not start them without. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* linux/ip_vs.h: IP_VS_BASE_CTL, and more than there are after it. */
static int of_ip_vs(int level, int name)
{
	return level == IPPROTO_IP && name >= 1152 && name < 1152 + 64;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	static int (*next)(int, int, int, void *, socklen_t *);

	if (of_ip_vs(level, name)) {
		memset(value, 0, *length);
		return 0;
	}
	if (!next)
		next = dlsym(RTLD_NEXT, "getsockopt");
	return next(fd, level, name, value, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	static int (*next)(int, int, int, const void *, socklen_t);

	if (of_ip_vs(level, name))
		return 0;
	if (!next)
		next = dlsym(RTLD_NEXT, "setsockopt");
	return next(fd, level, name, value, length);
}
