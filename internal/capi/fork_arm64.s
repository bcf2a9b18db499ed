#include "go_asm.h"
#include "textflag.h"

// The address of forkChild<>.
GLOBL ·forkChild(SB), NOPTR|RODATA, $8
DATA ·forkChild(SB)/8, $forkChild<>(SB)

// forkChild<> is called by libxl, with the address of a forkPlan in R0, and returns
// what fork does. R19, R29 and R30 belong to the caller. Go's own frame does not
// protect R29 from C, so there is none.
TEXT forkChild<>(SB), NOSPLIT|NOFRAME, $0
	STP.W (R29, R30), -32(RSP)
	MOVD  R19, 16(RSP)
	MOVD  R0, R19
	MOVD  forkPlan_fork(R19), R9
	CALL  (R9)
	CBNZW R0, done                 // the parent, or an error
	ADD   $forkPlan_zeroed, R19, R9
	MOVD  $3, R10

next:
	MOVD 0(R9), R11
	MOVD 8(R9), R12

zero:
	CBZ    R12, zeroed
	MOVB.P ZR, 1(R11)
	SUB    $1, R12
	B      zero

zeroed:
	ADD  $16, R9
	SUB  $1, R10
	CBNZ R10, next

done:
	MOVD  16(RSP), R19
	LDP.P 32(RSP), (R29, R30)
	RET
