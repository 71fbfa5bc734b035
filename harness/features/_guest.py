# Boots the smallest guest that tells: POPCNT and HLT in real mode (Documentation/virt/kvm/api.rst). Code 0: yes.
# POPCNT is there because KVM cannot interpret it (arch/x86/kvm/emulate.c): where guests are interpreted and not
# run by the processor (KVM-PVM, in some clouds), HLT alone works, and no ordinary kernel gets through its boot.
# Sent to hosts as text in single quotes, so none may stand here.
import ctypes
import fcntl
import mmap
import os
import platform
import struct
import sys

API_VERSION, CREATE_VM, MMAP_SIZE, CREATE_CPU, RUN = 0xAE00, 0xAE01, 0xAE04, 0xAE41, 0xAE80
SET_MEMORY, GET_SEGMENTS, SET_SEGMENTS, SET_REGISTERS = 0x4020AE46, 0x8138AE83, 0x4138AE84, 0x4090AE82
AT, SIZE, EXIT_HLT, EXIT_INTERNAL_ERROR = 0x1000, 4096, 5, 17
CODE = b"\xf3\x0f\xb8\xc0" + b"\xf4"

if platform.machine() != "x86_64":
    sys.exit("only tried on x86_64")
kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
if fcntl.ioctl(kvm, API_VERSION) != 12:
    sys.exit("KVM speaks another version of its interface")
vm = fcntl.ioctl(kvm, CREATE_VM, 0)
memory = mmap.mmap(-1, SIZE)
memory[0 : len(CODE)] = CODE
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
fcntl.ioctl(vm, SET_MEMORY, struct.pack("=IIQQQ", 0, 0, AT, SIZE, address))
cpu = fcntl.ioctl(vm, CREATE_CPU, 0)
state = mmap.mmap(cpu, fcntl.ioctl(kvm, MMAP_SIZE))
segments = bytearray(fcntl.ioctl(cpu, GET_SEGMENTS, bytes(312)))
segments[0:8], segments[12:14] = bytes(8), bytes(2)
fcntl.ioctl(cpu, SET_SEGMENTS, bytes(segments))
fcntl.ioctl(cpu, SET_REGISTERS, bytes(128) + struct.pack("=QQ", AT, 2))
fcntl.ioctl(cpu, RUN, 0)
reason = struct.unpack_from("=I", state, 8)[0]
if reason == EXIT_INTERNAL_ERROR:
    sys.exit("KVM only interprets guests here, and not all of their instructions")
sys.exit(None if reason == EXIT_HLT else f"the guest did not halt: KVM exit reason {reason}")
