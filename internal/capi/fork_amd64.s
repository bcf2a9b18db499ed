#include "go_asm.h"
#include "textflag.h"

// The address of forkChild<>.
GLOBL ·forkChild(SB), NOPTR|RODATA, $8
DATA ·forkChild(SB)/8, $forkChild<>(SB)

// forkChild<> is called by libxl, with the address of a forkPlan in DI, and
// returns what fork does. BX and R12 belong to the caller, and the stack is aligned
// to 16 bytes before a call: the frame is 16 bytes and the saved BP.
TEXT forkChild<>(SB), NOSPLIT, $16
	MOVQ  BX, 0(SP)
	MOVQ  R12, 8(SP)
	MOVQ  DI, BX
	MOVQ  forkPlan_fork(BX), AX
	CALL  AX
	TESTL AX, AX
	JNE   done                    // the parent, or an error
	LEAQ  forkPlan_zeroed(BX), BX
	MOVQ  $3, R12
	CLD

next:
	MOVQ 0(BX), DI
	MOVQ 8(BX), CX
	XORL AX, AX
	REP
	STOSB
	ADDQ $16, BX
	DECQ R12
	JNE  next

done:
	MOVQ 0(SP), BX
	MOVQ 8(SP), R12
	RET
