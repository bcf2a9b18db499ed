package libxl

import (
	"fmt"
	"strings"
)

// Error implements error, so that errors.Is finds a code by its value:
//
//	errors.Is(err, libxl.ErrorDomainNotfound)
func (x Error) Error() string {
	name := errorTable.name(int32(x))
	if name == "" {
		return fmt.Sprintf("libxl: unknown error %d", int32(x))
	}
	constant := "ERROR_" + strings.ToUpper(name)
	if text := errorTexts[x]; text != "" {
		return fmt.Sprintf("libxl: %s (%s)", text, constant)
	}
	return "libxl: " + constant
}

// errorTexts say in words what the codes mean.
var errorTexts = map[Error]string{
	ErrorNonspecific:                  "unspecific error",
	ErrorVersion:                      "interface version not supported",
	ErrorFail:                         "operation failed",
	ErrorNi:                           "not implemented",
	ErrorNomem:                        "out of memory",
	ErrorInval:                        "invalid parameter",
	ErrorBadfail:                      "operation failed and could not be undone",
	ErrorGuestTimedout:                "guest did not respond in time",
	ErrorTimedout:                     "timed out",
	ErrorNoparavirt:                   "guest has no paravirtual drivers",
	ErrorNotReady:                     "not ready",
	ErrorOseventRegFail:               "event could not be registered with the event loop",
	ErrorBufferfull:                   "buffer too small",
	ErrorUnknownChild:                 "not a child process of libxl",
	ErrorLockFail:                     "lock could not be taken",
	ErrorJsonConfigEmpty:              "domain has no stored configuration",
	ErrorDeviceExists:                 "device exists already",
	ErrorCheckpointDevopsDoesNotMatch: "device is not of the kind that this checkpointing handles",
	ErrorCheckpointDeviceNotSupported: "device cannot be checkpointed",
	ErrorVnumaConfigInvalid:           "invalid virtual NUMA configuration",
	ErrorDomainNotfound:               "no such domain",
	ErrorAborted:                      "operation aborted",
	ErrorNotfound:                     "not found",
	ErrorDomainDestroyed:              "domain is being destroyed",
	ErrorFeatureRemoved:               "feature no longer exists",
	ErrorProtocolErrorQmp:             "device model broke the QMP protocol",
	ErrorUnknownQmpError:              "unknown error of the device model",
	ErrorQmpGenericError:              "device model reported an error",
	ErrorQmpCommandNotFound:           "device model does not know the command",
	ErrorQmpDeviceNotActive:           "device is not active in the device model",
	ErrorQmpDeviceNotFound:            "device model does not know the device",
	ErrorQemuApi:                      "unexpected answer of the device model",
}
