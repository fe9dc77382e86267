package samplehost

// ordinaryFolders is what a user of Pine and Mozilla had around 2003. The
// first is the inbox; the shares add up to 1.
var ordinaryFolders = []recipe{
	{name: "INBOX", share: 0.30, record: inFirstMessage, newMail: true},
	{name: "sent-mail", share: 0.15, record: inPseudo, outgoing: true},
	{name: "saved-messages", share: 0.15, record: inPseudo},
	{name: "Drafts", share: 0.02, record: inPseudo, outgoing: true, flags: drafts},
	{name: "Trash", share: 0.05, record: inFirstMessage, mozilla: true, flags: trash},
	{name: "work/2003/projects", share: 0.10, record: inFirstMessage},
	{name: "work/2004", share: 0.08, record: inPseudo},
	{name: "lists/imap", share: 0.12, record: inPseudo, newMail: true}, // filled by procmail
	{name: "family", share: 0.03, record: inFirstMessage},
}

// oddFolders are folders whose making is odd, with ordinary names.
var oddFolders = []recipe{
	{name: "from-windows", record: inFirstMessage, crlf: true},
	{name: "procmail/unopened", record: nowhere},
	{name: "INBOX", record: inPseudo}, // an ordinary folder to UW, not the inbox
}

// oddNames are folder names that UW serves, or at least keeps, and that a
// Cyrus server refuses or takes for something else (Cyrus mboxname.c,
// mboxname_policycheck). Some differ only in characters that Cyrus refuses.
var oddNames = []string{
	"caf\xc3\xa9",  // UTF-8, from a shell
	"b\xfccher",    // ISO 8859-1
	"Entw&APw-rfe", // modified UTF-7, from an IMAP client
	"R&D",          // a bare ampersand is no modified UTF-7
	"50% off!", "a.b.c", "to do", `back\slash`, "it's", "x;y", "x%y", "x_y", "~tilde", "caret^",
	"tab\there", "new\nline", "Family", // ordinary folders have "family"
	"b\xfccher-archive/1999.old/Re: caf\xc3\xa9",
}

// notMail are files among the folders that UW serves as one nonsense message
// each, or not at all.
var notMail = []struct{ name, content, why string }{
	{"archive.tar.gz", "\x1f\x8b\x08\x00\xf1\x7b\xa5\x3f\x00\x03\xed\xd1\x31\x0a\xc2\x40\x10\x46", "gzip data"},
	{"notes.txt", "Things to do\n\n- back up the mail server\n", "text without a From_ line"},
	{"letter.txt", "From the desk of the dean\n\nDear colleagues,\n", `begins with "From " but has no From_ line`},
	{"received.lock", "", "lock file of a folder that is no more"},
}

// otherSubscriptions are lines of .mailboxlist that name no folder here.
var otherSubscriptions = []string{"mail/gone-since-2001", "{imap.example.net}INBOX", "#news.comp.mail.imap"}
