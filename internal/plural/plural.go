// Package plural counts things in words.
package plural

import "fmt"

// Count says how many there are of what has its plural with an s.
func Count[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
