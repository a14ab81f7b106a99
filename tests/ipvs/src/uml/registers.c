/* User-mode Linux 6.1 keeps 2696 bytes of a process's floating point registers: enough for AVX-512.
 * Processors with AMX have 11 KiB, and Linux refuses to set a part of them, so that nothing would run
 * there. Preloaded into linux.uml, this sets the part, and leaves the others as they are: nothing inside
 * uses them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>

enum { GETREGSET = 0x4204, SETREGSET = 0x4205, XSTATE = 0x202 };

static char whole[1 << 16] __attribute__((aligned(64)));

long ptrace(int request, ...)
{
	static long (*next)(int, int, void *, void *);
	va_list arguments;

	va_start(arguments, request);
	int pid = va_arg(arguments, int);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);
	if (!next)
		next = (long (*)(int, int, void *, void *))dlsym(RTLD_NEXT, "ptrace");
	if (request == SETREGSET && (long)address == XSTATE) {
		struct iovec *part = data, all = { whole, sizeof(whole) };
		long result = next(GETREGSET, pid, address, &all);

		if (result)
			return result;
		if (part->iov_len < all.iov_len) {
			memcpy(whole, part->iov_base, part->iov_len);
			return next(SETREGSET, pid, address, &all);
		}
	}
	return next(request, pid, address, data);
}
