/* Where a guest on arm64 starts: an Image as Linux has them, X0 has the device
 * tree, the MMU is off. */

	.section .head, "ax"
	b	start
	.long	0
	.quad	0x80000			/* where in memory, as arm64.ld has it */
	.quad	image_size
	.quad	0
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

	.text
start:
	/* Memory that is shared must be cached, which needs the MMU. */
	mov	x1, #0xff		/* attribute 0: write-back */
	msr	mair_el1, x1
	ldr	x1, =0x200803519	/* 39 bits, 4 KB pages, cached, shareable; no TTBR1 */
	msr	tcr_el1, x1
	adrp	x1, blocks
	msr	ttbr0_el1, x1
	tlbi	vmalle1
	dsb	sy
	isb
	mrs	x1, sctlr_el1
	mov	x2, #0x1005		/* the MMU, both caches */
	orr	x1, x1, x2
	msr	sctlr_el1, x1
	isb

	adrp	x1, bss
	adrp	x2, bss_end
1:	str	xzr, [x1], #8
	cmp	x1, x2
	b.lo	1b
	adrp	x1, stack_end
	mov	sp, x1
	bl	arm_main
	.ltorg

	/* All addresses, in blocks of 1 GB, are what they are, and cached. */
	.section .rodata
	.balign	4096
blocks:
	.set	block, 0
	.rept	512
	.quad	(block << 30) | 0x701
	.set	block, block + 1
	.endr

	.bss
	.balign	4096
	.skip	4096			/* the stack */
stack_end:

	.section .note.GNU-stack, "", %progbits
