"""What an owner is told about a file that was not taken in, or not wholly: words for each code, in the reader's language."""

from django.utils.translation import gettext_lazy as _

WORDS = {
    "unsupported_type": _(
        "This type of file cannot be read. Use PDF, Word, PowerPoint, Excel, CSV, HTML, Markdown, text, JSON lines, "
        "or a ZIP of these."
    ),
    "old_office": _("This is the Office format of before 2007. Save it in the newer one and try again."),
    "not_what_it_says": _("The content is not what the file's name says."),
    "empty": _("There is no text in this file."),
    "scanned": _("This PDF holds pictures of pages and no text. Run text recognition (OCR) over it and try again."),
    "encrypted": _("This file is protected by a password. Remove the password and try again."),
    "unsafe": _("This file holds instructions that no document needs; it was not opened."),
    "too_large": _("This file is too large."),
    "too_slow": _("Reading this file took too long and was stopped. Split it, or save it in another format."),
    "too_heavy": _("Reading this file took too much memory and was stopped. Split it, or save it in another format."),
    "reader_failed": _("The reader broke off on this file. Save it in another format and try again."),
    "unknown_encoding": _("The characters of this file cannot be read. Save it as UTF-8 and try again."),
    "no_faq_header": _(
        "The first row must name a column of questions and one of answers, for example: question, answer (问题, 答案)."
    ),
    "nested_archive": _("A ZIP inside a ZIP is not opened. Upload it by itself."),
    "unsafe_name": _("The name of this file inside the ZIP leads out of it; it was not taken."),
    "too_many_files": _("There are too many files in this ZIP. Split it into several."),
    "broken": _("This file is damaged."),
    "address_refused": _("This address may not be fetched."),
    "no_answer": _("The server gave no complete answer."),
    "http_status": _("The server answered with an error."),
    "off_site": _("This leads to another site. Add that address by itself if it is yours to use."),
    "too_many_redirects": _("The server sends from one address to the next without end."),
    "robots": _("The site's robots.txt asks programs to stay away from this page."),
    "robots_unreachable": _("The site's robots.txt could not be read, so nothing of the site was read."),
    "no_sitemap": _(
        "This site has no sitemap that could be read. Give the address of its sitemap, or add single pages."
    ),
    "sitemap_broken": _("This sitemap is damaged."),
    "wrong_type": _("What is at this address is no document that can be read."),
    "same_as": _("This says the same as another page."),
    "deleted_here": _(
        "You deleted this document; it is not taken again. Remove the source and add it anew to have it back."
    ),
    "encoder_unavailable": _("The encoder could not be loaded; the file is kept and can be tried again."),
    "internal": _("Something went wrong while reading this file; it is kept and can be tried again."),
}

NOTES = {
    "pages_without_text": _("These pages hold a picture and no text:"),
    "charts_without_figures": _("The figures of charts could not be read on these slides:"),
    "unpacked": _("Taken from this ZIP:"),
    "too_many_pages": _("The site lists more pages than are read; left out:"),
}
