# ruff: noqa: RUF001 (Russian is one of the languages)
"""All that the pages and mails say, in each language, and which language a browser asks for. Pure.

Neighbours: `site` and the templates (pages), `desk` (mails). A test compares the languages with each other.
"""

from __future__ import annotations

from typing import Final

from homeroom.api import Language
from homeroom.seats.letters import CODES

LANGUAGES: Final = {code: language for language, code in CODES.items()}
"""Languages of the pages by their codes."""
NAMES: Final = {"en": "English", "sv": "Svenska", "nl": "Nederlands", "ru": "Русский"}
"""How each language calls itself."""


def preferred(accept: str) -> Language:
    """The language that a browser likes best, by its header Accept-Language; English when it names none of ours."""
    wishes = []
    for place, part in enumerate(accept[:1000].split(",")):
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        code = tag.strip().lower().split("-")[0]
        if code in LANGUAGES and weight > 0:
            wishes.append((-weight, place, code))
    return LANGUAGES[min(wishes)[2]] if wishes else Language.ENGLISH


def say(language: Language, key: str, /, **values: object) -> str:
    """The words of this key, with `values` in their places."""
    return TEXTS[key][language].format(**values)


def _in(en: str, sv: str, nl: str, ru: str) -> dict[Language, str]:
    return {Language.ENGLISH: en, Language.SWEDISH: sv, Language.DUTCH: nl, Language.RUSSIAN: ru}


TEXTS: Final[dict[str, dict[Language, str]]] = {
    "site": _in("School licences", "Skollicenser", "Schoollicenties", "Школьные лицензии"),
    "language": _in("Language", "Språk", "Taal", "Язык"),
    # -- asking for a link
    "connect.title": _in(
        "Connect to a school licence",
        "Anslut dig till en skollicens",
        "Verbinden met een schoollicentie",
        "Подключение к школьной лицензии",
    ),
    "connect.lead": _in(
        "For teachers. Enter the licence key that you were given at school, and who you are. You get a mail with a "
        "link.",
        "För lärare. Skriv in licensnyckeln som du har fått på skolan och vem du är. Du får ett mejl med en länk.",
        "Voor leraren. Vul de licentiesleutel in die u op school hebt gekregen, en wie u bent. U krijgt een e-mail met "
        "een link.",
        "Для учителей. Введите лицензионный ключ, который вам дали в школе, и укажите, кто вы. Вам придёт письмо со "
        "ссылкой.",
    ),
    "key": _in("Licence key", "Licensnyckel", "Licentiesleutel", "Лицензионный ключ"),
    "key.hint": _in(
        "16 letters and digits; dashes and capitals do not matter.",
        "16 bokstäver och siffror; bindestreck och stora bokstäver spelar ingen roll.",
        "16 letters en cijfers; streepjes en hoofdletters maken niet uit.",
        "16 букв и цифр; дефисы и регистр не важны.",
    ),
    "account": _in(
        "E-mail address or user name",
        "E-postadress eller användarnamn",
        "E-mailadres of gebruikersnaam",
        "Адрес электронной почты или имя пользователя",
    ),
    "account.hint": _in(
        "As your school has it in its records.",
        "Som skolan har det i sina register.",
        "Zoals uw school het geregistreerd heeft.",
        "Как указано в данных вашей школы.",
    ),
    "ask": _in("Send me a link", "Skicka en länk till mig", "Stuur mij een link", "Прислать мне ссылку"),
    "to.sign-in": _in(
        "Already connected? Sign in",
        "Redan ansluten? Logga in",
        "Al verbonden? Aanmelden",
        "Уже подключены? Войти",
    ),
    "sign-in.title": _in("Sign in", "Logga in", "Aanmelden", "Вход"),
    "sign-in.lead": _in(
        "For teachers who are connected to a school licence. You get a mail with a link.",
        "För lärare som är anslutna till en skollicens. Du får ett mejl med en länk.",
        "Voor leraren die met een schoollicentie verbonden zijn. U krijgt een e-mail met een link.",
        "Для учителей, подключённых к школьной лицензии. Вам придёт письмо со ссылкой.",
    ),
    "to.connect": _in(
        "Not connected yet? Enter a licence key",
        "Inte ansluten än? Skriv in en licensnyckel",
        "Nog niet verbonden? Vul een licentiesleutel in",
        "Ещё не подключены? Введите лицензионный ключ",
    ),
    "fault": _in(
        "Please check what you entered",
        "Kontrollera det du skrev in",
        "Controleer wat u hebt ingevuld",
        "Проверьте введённые данные",
    ),
    "fault.Length": _in(
        "A licence key has 16 letters and digits. Copy all of it.",
        "En licensnyckel har 16 bokstäver och siffror. Kopiera hela.",
        "Een licentiesleutel heeft 16 letters en cijfers. Neem hem helemaal over.",
        "В лицензионном ключе 16 букв и цифр. Скопируйте его целиком.",
    ),
    "fault.Letter": _in(
        "There is a letter, digit or sign in it that no licence key has. Keys are made of {alphabet}.",
        "Den innehåller en bokstav, siffra eller ett tecken som ingen licensnyckel har. Nycklar består av {alphabet}.",
        "Er staat een letter, cijfer of teken in dat in geen licentiesleutel voorkomt. Sleutels bestaan uit "
        "{alphabet}.",
        "В нём есть буква, цифра или знак, которых не бывает в лицензионных ключах. Ключи состоят из {alphabet}.",
    ),
    "fault.Check": _in(
        "A letter or digit of the key is mistyped. Compare them one by one.",
        "En bokstav eller siffra i nyckeln är fel. Jämför dem en i taget.",
        "Een letter of cijfer van de sleutel is verkeerd getypt. Vergelijk ze een voor een.",
        "В ключе опечатка. Сравните знаки по одному.",
    ),
    "fault.Account": _in(
        "Enter your e-mail address or user name.",
        "Skriv in din e-postadress eller ditt användarnamn.",
        "Vul uw e-mailadres of gebruikersnaam in.",
        "Введите адрес электронной почты или имя пользователя.",
    ),
    "sent.title": _in("Look into your mailbox", "Titta i din inkorg", "Kijk in uw mailbox", "Проверьте почту"),
    "sent.text": _in(
        "If what you entered fits, a mail with a link is on its way, to the e-mail address that your school has of "
        "you. The link works once, and for {minutes} minutes.",
        "Om uppgifterna stämmer är ett mejl med en länk på väg, till den e-postadress som skolan har för dig. Länken "
        "fungerar en gång och i {minutes} minuter.",
        "Als uw gegevens kloppen, is er een e-mail met een link onderweg, naar het e-mailadres dat uw school van u "
        "heeft. De link werkt één keer, {minutes} minuten lang.",
        "Если данные верны, на адрес, который указан у вас в школе, придёт письмо со ссылкой. Ссылка действует один "
        "раз, время действия в минутах: {minutes}.",
    ),
    "sent.help": _in(
        "No mail? Look among unwanted mail, compare what you entered, and try again in a while. The person who gave "
        "you the key can help.",
        "Inget mejl? Titta bland skräpposten, kontrollera uppgifterna och försök igen om en stund. Den som gav dig "
        "nyckeln kan hjälpa till.",
        "Geen e-mail? Kijk bij ongewenste e-mail, controleer uw gegevens en probeer het straks opnieuw. Degene die u "
        "de sleutel gaf, kan helpen.",
        "Письма нет? Проверьте папку «Спам» и введённые данные и повторите попытку позже. Вам поможет тот, кто дал "
        "вам ключ.",
    ),
    # -- the link
    "link.connect.title": _in(
        "Connect to {licence}?", "Ansluta till {licence}?", "Verbinden met {licence}?", "Подключиться: {licence}?"
    ),
    "link.connect.text": _in(
        "Students of your classes can then take seats of this school licence. You share the seats with your "
        "colleagues.",
        "Elever i dina klasser kan då ta platser i den här skollicensen. Du delar platserna med dina kollegor.",
        "Leerlingen van uw klassen kunnen dan plaatsen van deze schoollicentie innemen. U deelt de plaatsen met uw "
        "collega's.",
        "После этого ученики ваших классов смогут занимать места этой школьной лицензии. Места у вас с коллегами "
        "общие.",
    ),
    "link.connect": _in("Connect", "Anslut", "Verbinden", "Подключиться"),
    "link.sign-in.title": _in("Sign in?", "Logga in?", "Aanmelden?", "Войти?"),
    "link.sign-in.text": _in(
        "Press the button if you asked for this yourself.",
        "Tryck på knappen om du själv har bett om detta.",
        "Druk op de knop als u hier zelf om hebt gevraagd.",
        "Нажмите кнопку, если вы сами запрашивали вход.",
    ),
    "link.sign-in": _in("Sign in", "Logga in", "Aanmelden", "Войти"),
    "full": _in(
        "All seats are in use at the moment. Students who have none yet wait, and get one when one falls free or the "
        "licence grows. Nobody loses a seat.",
        "Alla platser används just nu. Elever som inte har någon plats väntar och får en när en plats blir ledig eller "
        "licensen blir större. Ingen förlorar sin plats.",
        "Alle plaatsen zijn op dit moment in gebruik. Leerlingen die nog geen plaats hebben, wachten en krijgen er een "
        "als er een vrijkomt of de licentie groter wordt. Niemand verliest een plaats.",
        "Сейчас все места заняты. Ученики, у которых места ещё нет, ждут и получат его, когда место освободится или "
        "лицензию расширят. Никто своего места не теряет.",
    ),
    "dead.title": _in("This link does not work", "Länken fungerar inte", "Deze link werkt niet", "Ссылка не действует"),
    "dead.text": _in(
        "A link works once, and for {minutes} minutes. It also ends when the key of the licence changes. Ask for a new "
        "one.",
        "En länk fungerar en gång och i {minutes} minuter. Den slutar också gälla när licensens nyckel ändras. Be om "
        "en ny.",
        "Een link werkt één keer, {minutes} minuten lang. Hij vervalt ook als de sleutel van de licentie verandert. "
        "Vraag een nieuwe aan.",
        "Ссылка действует один раз, время действия в минутах: {minutes}. Она также перестаёт действовать при смене "
        "ключа лицензии. Запросите новую.",
    ),
    # -- signed in
    "licences.title": _in("Your school licences", "Dina skollicenser", "Uw schoollicenties", "Ваши школьные лицензии"),
    "licences.none": _in(
        "You are not connected to any school licence.",
        "Du är inte ansluten till någon skollicens.",
        "U bent met geen enkele schoollicentie verbonden.",
        "Вы не подключены ни к одной школьной лицензии.",
    ),
    "granted": _in("Seats granted", "Tilldelade platser", "Toegekende plaatsen", "Выделено мест"),
    "used": _in("Seats in use", "Använda platser", "Gebruikte plaatsen", "Занято мест"),
    "waiting": _in("Students waiting", "Elever som väntar", "Wachtende leerlingen", "Учеников в ожидании"),
    "later": _in(
        "What changes here counts within some minutes.",
        "Det du ändrar här gäller inom några minuter.",
        "Wat u hier verandert, telt binnen enkele minuten.",
        "Изменения вступают в силу в течение нескольких минут.",
    ),
    "colleagues": _in("Connected teachers", "Anslutna lärare", "Verbonden leraren", "Подключённые учителя"),
    "you": _in("you", "du", "u", "вы"),
    "unknown": _in(
        "No longer among the school's teachers ({id})",
        "Inte längre bland skolans lärare ({id})",
        "Niet meer bij de leraren van de school ({id})",
        "Больше нет среди учителей школы ({id})",
    ),
    "remove": _in("Remove", "Ta bort", "Verwijderen", "Удалить"),
    "remove.title": _in(
        "Remove {name} from {licence}?",
        "Ta bort {name} från {licence}?",
        "{name} verwijderen uit {licence}?",
        "Удалить из лицензии «{licence}»: {name}?",
    ),
    "remove.text": _in(
        "Do this for a colleague who does not use the product any more. Students who take seats only by this "
        "colleague give them back after a while; their accounts and their work stay. It is noted that you did this.",
        "Gör detta för en kollega som inte längre använder produkten. Elever som har plats bara genom den här "
        "kollegan lämnar den tillbaka efter en tid; deras konton och arbete finns kvar. Det noteras att du gjorde "
        "detta.",
        "Doe dit voor een collega die het product niet meer gebruikt. Leerlingen die alleen via deze collega een "
        "plaats hebben, geven die na een tijd terug; hun accounts en hun werk blijven. Er wordt vastgelegd dat u dit "
        "deed.",
        "Сделайте это, если коллега больше не пользуется продуктом. Ученики, у которых место только через этого "
        "коллегу, со временем его освободят; их учётные записи и работы сохранятся. Будет записано, что это сделали "
        "вы.",
    ),
    "remove.yes": _in("Yes, remove", "Ja, ta bort", "Ja, verwijderen", "Да, удалить"),
    "leave": _in("Leave this licence", "Lämna licensen", "Deze licentie verlaten", "Отключиться от лицензии"),
    "leave.title": _in("Leave {licence}?", "Lämna {licence}?", "{licence} verlaten?", "Отключиться: {licence}?"),
    "leave.text": _in(
        "Students who take seats only by you give them back after a while; their accounts and their work stay. To come "
        "back you need the licence key.",
        "Elever som har plats bara genom dig lämnar den tillbaka efter en tid; deras konton och arbete finns kvar. För "
        "att komma tillbaka behöver du licensnyckeln.",
        "Leerlingen die alleen via u een plaats hebben, geven die na een tijd terug; hun accounts en hun werk blijven. "
        "Om terug te komen hebt u de licentiesleutel nodig.",
        "Ученики, у которых место только через вас, со временем его освободят; их учётные записи и работы сохранятся. "
        "Чтобы вернуться, понадобится лицензионный ключ.",
    ),
    "leave.yes": _in("Yes, leave", "Ja, lämna", "Ja, verlaten", "Да, отключиться"),
    "no": _in("No, go back", "Nej, gå tillbaka", "Nee, terug", "Нет, назад"),
    "sign-out": _in("Sign out", "Logga ut", "Afmelden", "Выйти"),
    # -- what went wrong
    "busy.title": _in("Too many attempts", "För många försök", "Te veel pogingen", "Слишком много попыток"),
    "busy.text": _in(
        "Wait some minutes, then try again.",
        "Vänta några minuter och försök igen.",
        "Wacht een paar minuten en probeer het dan opnieuw.",
        "Подождите несколько минут и попробуйте снова.",
    ),
    "refused.title": _in("That did not work", "Det gick inte", "Dat is niet gelukt", "Не получилось"),
    "refused.text": _in(
        "This page is too old, or was not sent by our own form. Go back to the start.",
        "Sidan är för gammal eller skickades inte från vårt eget formulär. Gå tillbaka till början.",
        "Deze pagina is te oud of niet vanuit ons eigen formulier verstuurd. Ga terug naar het begin.",
        "Страница устарела или отправлена не из нашей формы. Вернитесь к началу.",
    ),
    "missing.title": _in("There is no such page", "Sidan finns inte", "Deze pagina bestaat niet", "Такой страницы нет"),
    "missing.text": _in(
        "Check the address, or go to the start.",
        "Kontrollera adressen eller gå till början.",
        "Controleer het adres of ga naar het begin.",
        "Проверьте адрес или перейдите к началу.",
    ),
    "broken.title": _in("Something went wrong", "Något gick fel", "Er ging iets mis", "Что-то пошло не так"),
    "broken.text": _in(
        "That is our fault, not yours. Try again later.",
        "Det är vårt fel, inte ditt. Försök igen senare.",
        "Dat ligt aan ons, niet aan u. Probeer het later opnieuw.",
        "Это наша ошибка, не ваша. Попробуйте позже.",
    ),
    "start": _in("Go to the start", "Gå till början", "Naar het begin", "К началу"),
    # -- mails
    "mail.connect.subject": _in(
        "Your link to connect to a school licence",
        "Din länk för att ansluta till en skollicens",
        "Uw link om met een schoollicentie te verbinden",
        "Ссылка для подключения к школьной лицензии",
    ),
    "mail.connect.text": _in(
        "Hello,\n\nsomebody entered a licence key and your account, to connect you to your school's licence. If that "
        "was you, open this link and press the button there:\n\n{link}\n\nIt works once, and for {minutes} minutes. If "
        "it was not you, do nothing: then nothing happens.\n",
        "Hej!\n\nNågon har skrivit in en licensnyckel och ditt konto för att ansluta dig till skolans licens. Om det "
        "var du, öppna länken och tryck på knappen där:\n\n{link}\n\nLänken fungerar en gång och i {minutes} minuter. "
        "Om det inte var du behöver du inte göra något: då händer ingenting.\n",
        "Hallo,\n\niemand heeft een licentiesleutel en uw account ingevuld, om u met de licentie van uw school te "
        "verbinden. Was u dat, open dan deze link en druk daar op de knop:\n\n{link}\n\nHij werkt één keer, {minutes} "
        "minuten lang. Was u het niet, doe dan niets: dan gebeurt er niets.\n",
        "Здравствуйте!\n\nКто-то ввёл лицензионный ключ и вашу учётную запись, чтобы подключить вас к лицензии школы. "
        "Если это были вы, откройте ссылку и нажмите там кнопку:\n\n{link}\n\nСсылка действует один раз, время "
        "действия в минутах: {minutes}. Если это были не вы, ничего не делайте: тогда ничего не произойдёт.\n",
    ),
    "mail.sign-in.subject": _in(
        "Your link to sign in to school licences",
        "Din länk för att logga in till skollicenser",
        "Uw link om u bij schoollicenties aan te melden",
        "Ссылка для входа: школьные лицензии",
    ),
    "mail.sign-in.text": _in(
        "Hello,\n\nsomebody asked for a link to sign in with your account, and see your school licences. If that was "
        "you, open this link and press the button there:\n\n{link}\n\nIt works once, and for {minutes} minutes. If it "
        "was not you, do nothing: then nothing happens.\n",
        "Hej!\n\nNågon har bett om en länk för att logga in med ditt konto och se dina skollicenser. Om det var du, "
        "öppna länken och tryck på knappen där:\n\n{link}\n\nLänken fungerar en gång och i {minutes} minuter. Om det "
        "inte var du behöver du inte göra något: då händer ingenting.\n",
        "Hallo,\n\niemand heeft een link aangevraagd om zich met uw account aan te melden en uw schoollicenties te "
        "zien. Was u dat, open dan deze link en druk daar op de knop:\n\n{link}\n\nHij werkt één keer, {minutes} "
        "minuten lang. Was u het niet, doe dan niets: dan gebeurt er niets.\n",
        "Здравствуйте!\n\nКто-то запросил ссылку для входа с вашей учётной записью на страницу школьных лицензий. "
        "Если это были вы, откройте ссылку и нажмите там кнопку:\n\n{link}\n\nСсылка действует один раз, время "
        "действия в минутах: {minutes}. Если это были не вы, ничего не делайте: тогда ничего не произойдёт.\n",
    ),
}
"""Words by key and language; in braces what `say` is given."""
