/* Says what UW's c-client library makes of mailboxes, and makes mailboxes with it, for
 * the tests. Mailboxes are named as an IMAP client names them, relative
 * to $HOME; "#driver.mbx/NAME" chooses the format of a new one.
 *
 *   cclient read NAME...             what is in each, opened read-only
 *   cclient create NAME...
 *   cclient append NAME FLAGS DATE   the message on standard input
 *   cclient flag NAME SEQUENCE FLAGS sets flags; keywords that are new are created
 *   cclient expunge NAME
 *   cclient copy NAME TO             all messages; TO has the same format
 *   cclient check NAME               opens it read-write, as a client does
 *   cclient hold NAME                the same, says "open", and keeps it open until
 *                                    standard input ends
 *
 * read writes for each mailbox, in lines:
 *
 *   mailbox DRIVER MESSAGES UIDVALIDITY UIDLAST STICKY    or: refused
 *   keyword BIT NAME-IN-HEXADECIMAL                       for each name that is known
 *   message UID FLAGS KEYWORDS BYTES DATE                 then BYTES bytes and a LF
 *   end
 *
 * $HOME/.mminit is read as UW reads it where /etc/c-client.cf allows that: its line
 * "set keywords" names the keywords of tenex and mtx.
 *
 * FLAGS are the letters R A F D T and r of the tests, or "-"; KEYWORDS are the bits in
 * hexadecimal; the bytes are those that imapd sends for BODY[]. What c-client has to say
 * goes to standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <c-client/c-client.h>

extern void dorc(char *file, long mminit); /* osdep/unix/env_unix.c */

static int failed;

void mm_searched(MAILSTREAM *s, unsigned long n) {}
void mm_exists(MAILSTREAM *s, unsigned long n) {}
void mm_expunged(MAILSTREAM *s, unsigned long n) {}
void mm_flags(MAILSTREAM *s, unsigned long n) {}
void mm_list(MAILSTREAM *s, int delimiter, char *name, long attributes) {}
void mm_lsub(MAILSTREAM *s, int delimiter, char *name, long attributes) {}
void mm_status(MAILSTREAM *s, char *name, MAILSTATUS *status) {}
void mm_login(NETMBX *mb, char *user, char *password, long trial) {}
void mm_critical(MAILSTREAM *s) {}
void mm_nocritical(MAILSTREAM *s) {}
void mm_dlog(char *text) {}
long mm_diskerror(MAILSTREAM *s, long code, long serious) { return 1; } /* give up */

void mm_log(char *text, long kind)
{
	if (kind == ERROR)
		failed = 1;
	if (kind != PARSE)
		fprintf(stderr, "%s\n", text);
}

void mm_notify(MAILSTREAM *s, char *text, long kind) { mm_log(text, kind); }
void mm_fatal(char *text) { fprintf(stderr, "fatal: %s\n", text); }

/* imapd.c ptext: a NUL cannot be sent */
static void send(char *bytes, unsigned long n)
{
	for (; n > 0; n--, bytes++)
		putchar(*bytes ? *bytes : 0x80);
}

static void read_message(MAILSTREAM *s, unsigned long n)
{
	char sequence[32], date[MAILTMPLEN], flags[8], *f = flags;
	unsigned long headers, texts;
	MESSAGECACHE *elt;
	char *header, *text;

	sprintf(sequence, "%lu", n);
	mail_fetch_fast(s, sequence, NIL);
	elt = mail_elt(s, n);
	if (elt->seen) *f++ = 'R';
	if (elt->answered) *f++ = 'A';
	if (elt->flagged) *f++ = 'F';
	if (elt->deleted) *f++ = 'D';
	if (elt->draft) *f++ = 'T';
	if (elt->recent) *f++ = 'r';
	if (f == flags) *f++ = '-';
	*f = '\0';
	mail_date(date, elt);
	header = mail_fetch_header(s, n, NIL, NIL, &headers, FT_PEEK);
	header = memcpy(malloc(headers + 1), header, headers);
	text = mail_fetch_text(s, n, NIL, &texts, FT_PEEK);
	printf("message %lu %s %lx %lu %s\n", mail_uid(s, n), flags, elt->user_flags, headers + texts, date);
	send(header, headers);
	send(text, texts);
	putchar('\n');
	free(header);
}

static void read_mailbox(char *name)
{
	unsigned long n;
	int bit;
	char *c;
	MAILSTREAM *s = mail_open(NIL, name, OP_READONLY);

	/* a driver that cannot read a mailbox leaves a stream without a driver */
	if (!s || !s->dtb) {
		puts("refused\nend");
		fflush(stdout);
		return;
	}
	n = s->nmsgs;
	printf("mailbox %s %lu %lu %lu %d\n", s->dtb->name, n, s->uid_validity, s->uid_last, !s->uid_nosticky);
	for (bit = 0; bit < NUSERFLAGS; bit++)
		if (s->user_flags[bit]) {
			printf("keyword %d ", bit);
			for (c = s->user_flags[bit]; *c; c++)
				printf("%02x", (unsigned char)*c);
			putchar('\n');
		}
	for (n = 1; n <= s->nmsgs; n++)
		read_message(s, n);
	puts("end");
	fflush(stdout);
	mail_close(s);
}

/* standard input as a message with CRLF line ends, as a client sends it: as it is */
static void append(char *name, char *flags, char *date)
{
	STRING message;
	char *text = NULL;
	size_t n = 0, room = 0;
	int c;

	while ((c = getchar()) != EOF) {
		if (n == room)
			text = realloc(text, room = 2 * room + 4096);
		text[n++] = c;
	}
	INIT(&message, mail_string, text, n);
	if (!mail_append_full(NIL, name, flags, date, &message))
		failed = 1;
	free(text);
}

int main(int argc, char *argv[])
{
	MAILSTREAM *s = NIL;
	char *verb = argc > 2 ? argv[1] : "", configuration[MAILTMPLEN];
	int i;

#include <c-client/linkage.c>
	snprintf(configuration, sizeof configuration, "%s/.mminit", myhomedir());
	dorc(configuration, T);
	if (!strcmp(verb, "read")) {
		/* A process for each: tenex.c tenex_open leaves what it remembers of the
		 * last message fetched unset, and shows a message without its text if a
		 * mailbox read before left that UID there. A crash ends one answer only. */
		for (i = 2; i < argc; i++) {
			if (!fork()) {
				read_mailbox(argv[i]);
				_exit(0);
			}
			wait(NULL);
		}
		return 0;
	}
	if (!strcmp(verb, "create")) {
		for (i = 2; i < argc; i++)
			if (!mail_create(NIL, argv[i]))
				failed = 1;
		return failed;
	}
	if (!strcmp(verb, "append") && argc == 5) {
		append(argv[2], argv[3], argv[4]);
		return failed;
	}
	if (!*verb || !(s = mail_open(NIL, argv[2], NIL)) || !s->dtb) {
		fprintf(stderr, "%s: not opened\n", argc > 2 ? argv[2] : "usage: see the source");
		return 1;
	}
	if (!strcmp(verb, "flag") && argc == 5)
		mail_flag(s, argv[3], argv[4], ST_SET);
	else if (!strcmp(verb, "expunge"))
		mail_expunge(s);
	else if (!strcmp(verb, "copy") && argc == 4) {
		if (s->nmsgs && !mail_copy_full(s, "1:*", argv[3], NIL))
			failed = 1;
	} else if (!strcmp(verb, "hold")) {
		puts(s->rdonly ? "read-only" : "open");
		fflush(stdout);
		getchar();
	} else if (strcmp(verb, "check"))
		failed = 1;
	mail_close(s);
	return failed;
}
