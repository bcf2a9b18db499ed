#include "go_asm.h"
#include "textflag.h"

// The address of runCalls<>.
GLOBL ·runCalls(SB), NOPTR|RODATA, $8
DATA ·runCalls(SB)/8, $runCalls<>(SB)

// runCalls<> follows C's convention, as runtime.cgocall wants it: the address of
// a []call is in DI; BX and R12 belong to the caller, and the stack is aligned
// to 16 bytes before a call. The frame is 16 bytes and the saved BP.
TEXT runCalls<>(SB), NOSPLIT, $16
	MOVQ BX, 0(SP)
	MOVQ R12, 8(SP)
	MOVQ 0(DI), BX  // the next call
	MOVQ 8(DI), R12 // how many are left

next:
	TESTQ R12, R12
	JEQ   done
	MOVQ  call_fn(BX), AX
	MOVQ  call_arg(BX), DI
	CALL  AX
	MOVQ  AX, call_result(BX)
	ADDQ  $call__size, BX
	DECQ  R12
	JMP   next

done:
	XORL AX, AX
	MOVQ 0(SP), BX
	MOVQ 8(SP), R12
	RET
