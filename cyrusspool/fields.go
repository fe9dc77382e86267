package cyrusspool

import (
	"encoding/hex"
	"strconv"
)

// A Field is one field of an index header or record as it is in the file.
type Field struct {
	Name  string // Cyrus's own, as "last_uid" (imap/mailbox.h)
	Value string // decimal; hexadecimal of a GUID and, word by word, of user flags
}

// Fields returns the fields that the header's version has, in the order of its bytes
// in the oldest version. Errors are those of [IndexHeader.AppendTo].
func (h *IndexHeader) Fields() ([]Field, error) {
	b, err := h.AppendTo(nil)
	if err != nil {
		return nil, err
	}
	return fieldsOf(b, layouts[h.Version].header), nil
}

// Fields returns the fields that a record of version v has. Errors are those of
// [AppendRecord].
func (r *Record) Fields(v Version) ([]Field, error) {
	b, err := AppendRecord(nil, v, r)
	if err != nil {
		return nil, err
	}
	return fieldsOf(b, layouts[v].record), nil
}

func fieldsOf[T any](b []byte, slots []slot[T]) []Field {
	fields := make([]Field, 0, len(slots))
	for _, s := range slots {
		at := b[s.off : s.off+s.width]
		f := Field{Name: s.name}
		switch {
		case s.name == "user_flags":
			f.Value = hex.EncodeToString(at)
			if n := len(fields); n > 0 && fields[n-1].Name == s.name {
				fields[n-1].Value += " " + f.Value
				continue
			}
		case s.width != 4 && s.width != 8:
			f.Value = hex.EncodeToString(at)
		default:
			f.Value = strconv.FormatUint(getUint(at), 10)
		}
		fields = append(fields, f)
	}
	return fields
}
