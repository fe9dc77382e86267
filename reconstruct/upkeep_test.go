package reconstruct

import "testing"

func TestWithoutUpkeep(t *testing.T) {
	const checkpoint = "cyrus/cvt_xlist_spe[13680]: twoskip: checkpointed /conf/mailboxes.db (74 records, 17736 => 15192 bytes) in 0.046 seconds\n"
	for said, want := range map[string]string{
		"":         "",
		checkpoint: "",
		"cyrus/cvt_xlist_spe[34]: debug logging turned off\n":                                                                                                  "",
		"cyrus/cvt_xlist_spe[10084]: twoskip: delayed checkpoint not needed for /conf/mailboxes.db (135184 135208)\n":                                          "",
		"cyrus/ctl_mboxlist[9]: twoskip: no file to delayed checkpoint for /conf/mailboxes.db\n":                                                               "",
		"cyrus/reconstruct[9]: mappedfile: longlock /conf/mailboxes.db for 1.3 seconds\n":                                                                      "",
		"cyrus/reconstruct[9]: mailbox: longlock user.joe for 2.0 seconds\n":                                                                                   "",
		"cyrus/reconstruct[9]: auditlog: touched sessionid=<x> mailbox=<user.joe>\n":                                                                           "",
		"cyrus/cvt_xlist_spe[1]: DBERROR: read failed, assuming the worst: filename=</conf/db/skipstamp> syserror=<No such file or directory> func=<myinit>\n": "",
		"ctl_mboxlist[1]: DBERROR: reading /conf/db/skipstamp, assuming the worst: No such file or directory\n":                                                "",
		"cyrus/quota[1]: skipstamp is missing, have you run `ctl_cyrusdb -r`?: filename=</conf/db/skipstamp> \n" +
			"cyrus/quota[1]: DBERROR: skipstamp unreadable, assuming the worst: filename=</conf/db/skipstamp> syserror=<No such file or directory> func=<myinit>\n": "",
		"fatal error\n" + checkpoint + "ctl_mboxlist[7]: skiplist: recovered /conf/mailboxes.db (3 records, 99 bytes) in 0 seconds\n":                "fatal error",
		"ctl_mboxlist[7]: DBERROR: opening /conf/mailboxes.db: cyrusdb error\n":                                                                      "ctl_mboxlist[7]: DBERROR: opening /conf/mailboxes.db: cyrusdb error",
		"ctl_mboxlist[7]: DBERROR: twoskip out of order /conf/mailboxes.db: user.joe.a, assuming the worst: b (00000100) <= user.joe.c (00000200)\n": "ctl_mboxlist[7]: DBERROR: twoskip out of order /conf/mailboxes.db: user.joe.a, assuming the worst: b (00000100) <= user.joe.c (00000200)",
		"user.joe: twoskip: checkpointed x\n": "user.joe: twoskip: checkpointed x",
	} {
		if got := withoutUpkeep(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
