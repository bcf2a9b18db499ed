//go:build linux

package xenbox

// agentCommand is the hidden command by which dom0's init starts the agent.
const agentCommand = "dom0-agent"

// portName names the virtio-serial port between session and agent.
const portName = "xenlight.xenbox"

// Places in dom0. The folder is a tmpfs.
const (
	agentPath = "/run/xenbox/agent"
	jobPath   = "/run/xenbox/job.json"
)

// A job is what the agent is to do. It travels on the payload disk.
type job struct {
	Argv     []string
	Env      []string // on top of dom0's own
	Dir      string
	Mkdirs   []string // folders to make before
	Fetch    []string // files and folders to send back afterwards
	Terminal *windowReport
}
