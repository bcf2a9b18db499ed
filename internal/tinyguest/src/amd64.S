/* Where a guest on amd64 starts, as PV or as PVH; the notes tell the toolstack. */

	.macro note type:req, desc:vararg
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 2f - 1f, \type
	.asciz "Xen"
1:	\desc
2:	.balign 4
	.endm

	note 1, .quad pv_start			/* ENTRY */
	note 2, .quad hypercall_page		/* HYPERCALL_PAGE */
	note 3, .quad 0				/* VIRT_BASE */
	note 4, .quad 0				/* PADDR_OFFSET */
	note 5, .asciz "xen-3.0"		/* XEN_VERSION */
	note 6, .asciz "xenlight-tiny"		/* GUEST_OS */
	note 8, .asciz "generic"		/* LOADER */
	note 14, .long 1			/* SUSPEND_CANCEL */
	note 18, .long pvh_start		/* PHYS32_ENTRY */

	.text
	/* PV: 64-bit mode, memory mapped, RSI has the start info. */
	.globl	pv_start
pv_start:
	mov	$stack_end, %esp
	mov	%rsi, %rdi
	call	pv_main

	/* PVH: 32-bit mode without paging, EBX has the start info. The first 4 GB
	 * are mapped in pages of 2 MB. */
	.code32
pvh_start:
	mov	$stack_end, %esp
	mov	$page_directories, %edi
	mov	$0x83, %eax			/* present, writable, 2 MB */
1:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	jnc	1b
	movl	$page_directories + 0x0003, pointers
	movl	$page_directories + 0x1003, pointers + 8
	movl	$page_directories + 0x2003, pointers + 16
	movl	$page_directories + 0x3003, pointers + 24
	movl	$pointers + 3, page_map
	mov	$page_map, %eax
	mov	%eax, %cr3
	mov	$0x20, %eax			/* CR4.PAE */
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx		/* EFER.LME */
	mov	$0x100, %eax
	xor	%edx, %edx
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax		/* CR0.PG */
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $1f
	.code64
1:	mov	%ebx, %edi
	call	pvh_main

	.section .rodata, "a"
	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff		/* 64-bit code */
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.bss
	.balign 4096
	.globl	hypercall_page
hypercall_page:		.skip 4096
page_map:		.skip 4096
pointers:		.skip 4096
page_directories:	.skip 4 * 4096
stack:			.skip 4096
stack_end:

	.section .note.GNU-stack, "", @progbits
