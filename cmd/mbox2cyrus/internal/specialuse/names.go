package specialuse

// known are the names, the likeliest of each use first: those that mail programs of the
// time gave to the folders themselves, in the languages that they came in. A name that
// people also give to other folders ("sent to Ann", "old mail") is not here, and Pine's
// monthly "sent-mail-jun-2003" neither.
var known = map[Use][]string{
	Sent: {
		"Sent",                                // Mozilla, Netscape, Evolution, SquirrelMail, Mulberry
		"sent-mail",                           // Pine, Horde IMP, KMail
		"Sent Items",                          // Outlook, Outlook Express, Entourage
		"Sent Messages",                       // Apple Mail, Mac OS X Server's WebMail
		"Sent Mail",                           // Eudora, Gmail
		"sentmail", "sent_mail", "Sent-Items", // The Bat!, elm, Becky
		"Gesendet", "Gesendete Objekte", "Gesendete Elemente", "Gesendete Nachrichten",
		"Envoyés", "Éléments envoyés", "Messages envoyés", "Courrier envoyé",
		"Enviados", "Elementos enviados", "Mensajes enviados", "Correo enviado",
		"Inviata", "Posta inviata", "Inviati", "Messaggi inviati",
		"Itens enviados", "Mensagens enviadas",
		"Verzonden", "Verzonden items", "Verzonden berichten",
		"Skickat", "Skickade objekt", "Skickade meddelanden",
		"Sendt", "Sendt post", "Sendte elementer", "Sendte meldinger",
		"Lähetetyt", "Lähetetyt viestit",
		"Wysłane", "Elementy wysłane", "Odeslané", "Odeslaná pošta", "Elküldött", "Elküldött elemek",
		"Отправленные", "送信済み", "送信済みアイテム", "送信済みメール", "已发送", "已发送邮件", "寄件備份", "보낸 편지함",
	},
	Drafts: {
		"Drafts", "Draft", // Mozilla, Apple Mail, Outlook, Mulberry; Sylpheed
		"postponed-msgs", "postponed-mail", "postponed", // Pine, Alpine, mutt
		"Entwürfe", "Brouillons", "Borradores", "Bozze", "Rascunhos", "Concepten", "Utkast", "Kladder", "Kladde",
		"Luonnokset", "Kopie robocze", "Szkice", "Koncepty", "Rozepsané", "Piszkozatok", "Черновики", "下書き", "草稿", "草稿箱", "임시 보관함",
	},
	Trash: {
		"Trash", "Deleted Messages", "Deleted Items", // Mozilla, SquirrelMail; Apple Mail; Outlook
		"Deleted", "Wastebasket", // Horde; British versions
		"Papierkorb", "Gelöschte Objekte", "Gelöschte Elemente", "Gelöscht",
		"Corbeille", "Éléments supprimés", "Messages supprimés",
		"Papelera", "Elementos eliminados", "Mensajes eliminados",
		"Cestino", "Posta eliminata", "Lixeira", "Itens excluídos", "Itens eliminados",
		"Prullenbak", "Prullenmand", "Verwijderde items", "Papperskorg", "Papperskorgen", "Borttaget", "Borttagna objekt",
		"Papirkurv", "Slettet post", "Slettede elementer", "Roskakori", "Poistetut",
		"Kosz", "Elementy usunięte", "Koš", "Odstraněná pošta", "Kuka", "Törölt elemek",
		"Корзина", "Удаленные", "Удалённые", "ゴミ箱", "削除済みアイテム", "已删除", "已删除邮件", "휴지통",
	},
	Junk: {
		"Junk", "Spam", "Junk E-mail", "Junk Email", "Junk Mail", "junk-mail", // Mozilla, Apple Mail; IMP, Gmail; Outlook
		"Junk-E-Mail", "Courrier indésirable", "Indésirables", "Pourriel", "Correo no deseado", "Correo electrónico no deseado",
		"Posta indesiderata", "Lixo Eletrônico", "Lixo Eletrónico", "Ongewenste e-mail", "Ongewenst", "Skräppost", "Uønsket mail", "Uønsket e-mail",
		"Søppelpost", "Roskaposti", "Wiadomości-śmieci", "Nevyžádaná pošta", "Levélszemét", "Спам", "Нежелательная почта", "迷惑メール", "垃圾邮件", "垃圾郵件", "스팸 메일함",
	},
	Archive: {
		"Archive", "Archives", // Apple Mail, Outlook; Thunderbird
		"Archiv", "Archivo", "Archivio", "Arquivo", "Archief", "Arkiv", "Arkisto", "Archiwum", "Archívum", "Архив", "アーカイブ",
	},
}
