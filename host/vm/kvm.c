#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "support/memory.h"
#include "vm/vm.h"

/*
 * Whether the processor itself runs guests: VT-x (Intel SDM, CPUID leaf 1, ECX bit 5) or AMD-V
 * (APM volume 3, CPUID 8000_0001h, ECX bit 2). Some clouds offer a /dev/kvm that makes machines
 * without either; an unmodified kernel never comes up in them.
 */
static bool has_hardware(void)
{
#if defined(__x86_64__)
	unsigned a, b, c, d;
	if (__get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 5)) != 0)
		return true;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & (1u << 2)) != 0;
#else
	return true;
#endif
}

static bool makes_machine(int kvm)
{
	cleanup_close int machine = ioctl(kvm, KVM_CREATE_VM, 0);
	return machine >= 0;
}

bool vm_kvm_usable(const char **why)
{
	const char *reason = NULL;
	cleanup_close int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		reason = access("/dev/kvm", F_OK) < 0 ? "there is no /dev/kvm"
						      : "/dev/kvm cannot be opened by this user";
	else if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		reason = "/dev/kvm has another version of the interface";
	else if (!makes_machine(kvm))
		reason = "/dev/kvm makes no virtual machine";
	else if (!has_hardware())
		reason = "this processor shows neither VT-x nor AMD-V";
	if (why != NULL && reason != NULL)
		*why = reason;
	return reason == NULL;
}
