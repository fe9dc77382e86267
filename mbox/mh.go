package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// mhFormat is UW's driver "mh". UW knows such a mailbox by its path: it is below the MH
// path that the user's profile names (see [directory.belowMH]). Where that is not known, it
// is known by what it looks like.
var mhFormat = directoryFormat{
	name: FormatMH,
	matches: func(dir *directory) bool {
		return dir.belowMH || dir.has(mhSequencesName, unix.S_IFREG) && onlyMessageFiles(dir)
	},
	open: func(dir *directory, opts Options) Mailbox {
		return newNumbered(dir, opts, numberedKind{lf: true, folders: !dir.alone, own: mhOwnFiles, removed: isRemovedMH, learn: learnMH})
	},
}

// mhSequencesName is the file with the sequences of a folder (mh-sequence(5)).
const mhSequencesName = ".mh_sequences"

// mhOwnFiles are what programs keep beside the messages: nmh (mh-sequence(5)), UW mh.c
// (MHSEQUENCE), and xmh, its table of contents.
var mhOwnFiles = []string{mhSequencesName, ".mh_sequence", ".xmhcache"}

// isRemovedMH reports whether a file is a message that was removed: rmm(1) puts a comma
// before its name, older ones a #.
func isRemovedMH(name string) bool {
	return (name[0] == ',' || name[0] == '#') && isNumber(name[1:])
}

// isMHFile reports whether a file in an mh directory has the name of a part of that mailbox.
// Other files below the MH path may be folders of their own.
func isMHFile(name string) bool {
	if isNumber(name) || isRemovedMH(name) {
		return true
	}
	for _, own := range mhOwnFiles {
		if name == own {
			return true
		}
	}
	return false
}

// onlyMessageFiles reports whether all that dir holds besides hidden files and
// directories are files with numbers as names (messages of mh), at least one, with or
// without the comma or # that marks a removed one. Files that are whole mailboxes do not
// count, like directories: they are folders of their own.
func onlyMessageFiles(dir *directory) bool {
	messages, others := 0, 0
	err := eachName(dir.file, func(name string) error {
		if name[0] == '.' {
			return nil
		}
		if st, err := dir.lstat(name); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil
		}
		switch {
		case isNumber(name):
			// One that surely is a message is enough. What cannot be read may be one.
			if messages == 0 {
				if whole, err := dir.wholeMailbox(name); whole && err == nil {
					return nil
				}
			}
			messages++
		case isRemovedMH(name):
			messages++
		default:
			others++
		}
		return nil
	})
	return err == nil && messages > 0 && others == 0
}

// learnMH finds out which messages were read. UW takes a file for read whose access time
// is later than the time it was modified, in whole seconds (mh.c mh_ping); the directory
// was listed, with these times, before any message was opened. But MH itself keeps a list
// of the unread, which no copy, backup or search changes: where that is there, it counts.
//
// There is no UIDVALIDITY: to UW the numbers are UIDs for one session only.
func learnMH(n *numbered) error {
	unread, err := readUnseen(n)
	if err != nil {
		return err
	}
	guessed := 0
	for i := range n.ordinary {
		f := &n.ordinary[i]
		if unread != nil && !unread[i] || unread == nil && f.accessed {
			f.flags |= Seen
		}
		if unread == nil && f.accessed {
			guessed++
		}
	}
	for i := range n.extra { // sequences cannot name them
		if n.extra[i].accessed {
			n.extra[i].flags |= Seen
		}
	}
	if unread == nil && len(n.ordinary) > 0 {
		n.found.find(Finding{Kind: KindSeenByTime, Text: fmt.Sprintf(
			"there is no unseen sequence: as in UW, messages whose file was accessed after it was written are \\Seen, %d of %d; a copied or searched folder may have other times", guessed, len(n.ordinary))})
	}
	return nil
}

// readUnseen returns for each ordinary message whether the unseen sequence has it, nil if
// there is no such sequence. The bytes of all the format's own files are accounted for.
func readUnseen(n *numbered) ([]bool, error) {
	var unread []bool
	for name, size := range n.own {
		if name != mhSequencesName {
			n.account[ReasonIndex] += size
			continue
		}
		file, m, refused, err := n.dir.member(name)
		if err != nil {
			return nil, err
		}
		if file == nil {
			n.account[ReasonDamage] += size
			n.found.find(Finding{Kind: KindDamage, File: name, Length: size, Refused: true, Text: "the sequences were not read: " + refused})
			continue
		}
		// For each message, how many ranges begin at it less how many end before it.
		edges := make([]int32, len(n.ordinary)+1)
		s := sequences{found: &n.found,
			unseen: func(first, last uint32) {
				edges[n.from(first)]++
				edges[n.from(last+1)]--
			}}
		err = n.ownFile(name, "a piece of the sequences: messages may be \\Seen that are not", file, m.size, func(src io.ReaderAt) error {
			s.in = bufio.NewReader(io.NewSectionReader(src, 0, m.size))
			return s.read()
		})
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !s.has {
			continue
		}
		unread = make([]bool, len(n.ordinary))
		var open int32
		for i := range unread {
			open += edges[i]
			unread[i] = open > 0
		}
	}
	return unread, nil
}

// from returns the index of the first ordinary message whose UID is at least uid.
func (n *numbered) from(uid uint32) int {
	return sort.Search(len(n.ordinary), func(i int) bool { return n.ordinary[i].number >= uid })
}

// unseenName is the sequence of unread messages. A profile may give it another name; what
// is in such a one cannot be told.
const unseenName = "unseen"

// sequences reads a file of sequences, one a line: a name, a colon, and numbers or ranges
// of numbers. A line that begins with a space or tab continues the one before.
type sequences struct {
	in     *bufio.Reader
	pos    int64
	found  *limitedFindings
	unseen func(first, last uint32) // called for every range of the unseen sequence
	has    bool                     // there is an unseen sequence
	bad    int                      // words that are no range
	badAt  int64
}

// maxSequenceWord is longer than any range of message numbers.
const maxSequenceWord = 64

func (s *sequences) read() error {
	var word []byte // of the unseen sequence, or the name, up to maxSequenceWord+1 bytes
	inName, wanted := true, false
	endWord := func() {
		if wanted && len(word) > 0 {
			if first, last, ok := parseRange(word); ok && len(word) <= maxSequenceWord {
				s.unseen(first, last)
			} else if s.bad++; s.bad == 1 {
				s.badAt = s.pos - int64(len(word))
			}
		}
		word = word[:0]
	}
	for lineStart := true; ; s.pos++ {
		c, err := s.in.ReadByte()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case lineStart && c != ' ' && c != '\t':
			inName, wanted = true, false
		case lineStart:
			inName = false
		}
		lineStart = c == '\n'
		switch {
		case inName && c == ':':
			wanted = strings.EqualFold(string(word), unseenName)
			s.has = s.has || wanted
			inName, word = false, word[:0]
		case c == '\n' || !inName && (c == ' ' || c == '\t' || c == '\r'):
			if !inName {
				endWord()
			}
			word = word[:0]
		case len(word) <= maxSequenceWord:
			word = append(word, c)
		}
	}
	if !inName {
		endWord()
	}
	if s.bad > 0 {
		s.found.find(Finding{Kind: KindDamage, File: mhSequencesName, Offset: s.badAt,
			Text: fmt.Sprintf("%d words of the unseen sequence are no message numbers, the first is here: messages may be \\Seen that are not", s.bad)})
	}
	return nil
}

// parseRange reads "7" or "3-7". Numbers above all UIDs end the range there.
func parseRange(word []byte) (first, last uint32, ok bool) {
	a, b, isRange := bytes.Cut(word, []byte("-"))
	if !isRange {
		b = a
	}
	first, ok = messageNumber(a)
	last, ok2 := messageNumber(b)
	return first, last, ok && ok2 && first <= last
}

func messageNumber(b []byte) (uint32, bool) {
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(10*n+uint64(c-'0'), maxUID)
	}
	return uint32(n), len(b) > 0
}

// The user's MH profile, in the home directory, and the MH path where it names none (mh.c
// MHPROFILE, MHPATH). Without a profile there are no mh mailboxes to UW.
const (
	mhProfileName = ".mh_profile"
	mhDefaultPath = "Mail"
)

// parseMHProfile returns the MH path of a profile: absolute, or relative to the home
// directory. As in UW (mh.c mh_path) lines end at CR or LF, the component name is what
// precedes the first space or tab, the first Path counts and its case does not. Other than
// in UW, white space and slashes at the end of the path are left out, with which UW finds
// nothing, and so is a path that names no directory.
func parseMHProfile(profile []byte) string {
	profile, _, _ = bytes.Cut(profile, []byte{0}) // a C string
	for line := range bytes.FieldsFuncSeq(profile, func(r rune) bool { return r == '\r' || r == '\n' }) {
		i := bytes.IndexAny(line, " \t")
		if i < 0 || !strings.EqualFold(string(line[:i]), "Path:") {
			continue
		}
		if path := strings.TrimRight(strings.Trim(string(line[i:]), " \t"), "/"); path != "" {
			return path
		}
		break
	}
	return mhDefaultPath
}
