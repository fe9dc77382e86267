package review

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes everything as one JSON object. Its last member, "problems", has every
// problem; they are not held in memory.
func (r *Review) WriteJSON(w io.Writer) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s,\n \"problems\": [", bytes.TrimSuffix(b, []byte("\n}"))); err != nil {
		return err
	}
	comma := ""
	err = r.Problems(func(p Problem) error {
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n  %s", comma, b)
		comma = ","
		return err
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "\n ]\n}\n")
	return err
}
