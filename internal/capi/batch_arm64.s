#include "go_asm.h"
#include "textflag.h"

// The address of runCalls<>.
GLOBL ·runCalls(SB), NOPTR|RODATA, $8
DATA ·runCalls(SB)/8, $runCalls<>(SB)

// runCalls<> follows C's convention, as runtime.cgocall wants it: the address of
// a []call is in R0; R19, R20 and R29 belong to the caller. Go's own frame does
// not protect R29 from C, so there is none.
TEXT runCalls<>(SB), NOSPLIT|NOFRAME, $0
	STP.W (R29, R30), -32(RSP)
	STP   (R19, R20), 16(RSP)
	MOVD  0(R0), R19          // the next call
	MOVD  8(R0), R20          // how many are left

next:
	CBZ  R20, done
	MOVD call_fn(R19), R9
	MOVD call_arg(R19), R0
	CALL (R9)
	MOVD R0, call_result(R19)
	ADD  $call__size, R19
	SUB  $1, R20
	B    next

done:
	MOVD  $0, R0
	LDP   16(RSP), (R19, R20)
	LDP.P 32(RSP), (R29, R30)
	RET
