package migrate

import (
	"os"
	"runtime"
	"sync"
)

// SpareProcessors gives the Go runtime twice the processors that there are, for a program
// that migrates: most of its time it is in system calls that make or write files, of some
// microseconds each. Where all of the runtime's processors are in system calls, it wakes up
// every 20 µs to take one of them away (runtime/proc.go, sysmon and retake), and with that
// costs up to a tenth of the kernel's time. Where one is to spare, it has no reason to. GOMAXPROCS,
// if it is set, counts. A second call does nothing.
func SpareProcessors() { spareProcessors() }

var spareProcessors = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
})
