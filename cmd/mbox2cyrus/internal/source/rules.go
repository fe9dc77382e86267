package source

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// Rules are the switches that change what is read from a folder. The zero value is the
// default.
type Rules struct {
	UWVersion mbox.UWVersion
	Repairs   mbox.Repairs
	Timezone  string // as given, "": this machine's
	UTC       bool   // From_ dates that name no zone are UTC
	// HoldAbove is the size of the largest message, in bytes as Cyrus stores it, that is
	// not set aside; 0: as large as Cyrus's index can say.
	HoldAbove int64
}

// MaxMessage is the size of the largest message that is not set aside.
func (r Rules) MaxMessage() int64 {
	if r.HoldAbove > 0 {
		return min(r.HoldAbove, cyrusspool.MaxMessageSize)
	}
	return cyrusspool.MaxMessageSize
}

// ErrRules is wrapped by the error for something that was made by other rules than those
// of this run: a comparison would say nothing.
var ErrRules = errors.New("other rules")

// String returns the command-line flags that ask for the rules, "" for the default. The
// ledger remembers it of each mailbox.
func (r Rules) String() string {
	var flags []string
	if r.UWVersion != 0 && r.UWVersion != mbox.UW2007 {
		flags = append(flags, "--uw-version "+strconv.Itoa(int(r.UWVersion)))
	}
	for _, name := range r.Repairs.Names() {
		flags = append(flags, "--repair "+name)
	}
	if r.Timezone != "" {
		flags = append(flags, "--source-timezone "+r.Timezone)
	}
	if r.UTC {
		flags = append(flags, "--from-dates utc")
	}
	if n := r.MaxMessage(); n != cyrusspool.MaxMessageSize {
		flags = append(flags, "--hold-above "+strconv.FormatInt(n, 10))
	}
	return strings.Join(flags, " ")
}

// DescribeRules makes of what [Rules.String] returned something that people understand
// where it is empty.
func DescribeRules(flags string) string {
	if flags == "" {
		return "none of --repair, --uw-version 2002, --source-timezone, --from-dates utc and --hold-above"
	}
	return flags
}

// WayBack says what to change of the flags of this run, is, to have those of an earlier one, was;
// both as of [Rules.String].
func WayBack(was, is string) string {
	var ways []string
	if missing := flagsBeyond(was, is); missing != "" {
		ways = append(ways, "give "+missing)
	}
	if more := flagsBeyond(is, was); more != "" {
		ways = append(ways, "leave out "+more+", which may also be set in the environment (MBOX2CYRUS_…) or the --config file")
	}
	return strings.Join(ways, ", and ")
}

// flagsBeyond returns those of flags that are not among others.
func flagsBeyond(flags, others string) string {
	known := splitFlags(others)
	return strings.Join(slices.DeleteFunc(splitFlags(flags), func(flag string) bool { return slices.Contains(known, flag) }), " ")
}

func splitFlags(flags string) (all []string) {
	for flag := range strings.SplitSeq(" "+flags, " --") {
		if flag != "" && flag != " " {
			all = append(all, "--"+flag)
		}
	}
	return all
}
