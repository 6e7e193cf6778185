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
    # -- chats
    "chats.site": _in("School chats", "Skolans chattar", "Schoolchats", "Школьные чаты"),
    "chats.title": _in(
        "Join the school's chats",
        "Gå med i skolans chattar",
        "Meedoen met de schoolchats",
        "Подключение к школьным чатам",
    ),
    "chats.lead": _in(
        "The school gave you a letter with a personal code. With it you say which chat account is yours; then the "
        "chats of your classes open by themselves.",
        "Skolan har gett dig ett brev med en personlig kod. Med den anger du vilket chattkonto som är ditt; sedan "
        "öppnas klassernas chattar av sig själva.",
        "De school heeft u een brief met een persoonlijke code gegeven. Daarmee geeft u aan welk chataccount van u "
        "is; daarna gaan de chats van de klassen vanzelf open.",
        "Школа выдала вам письмо с личным кодом. С его помощью вы указываете свою учётную запись в чате; после этого "
        "чаты классов откроются сами.",
    ),
    "chats.code": _in("Personal code", "Personlig kod", "Persoonlijke code", "Личный код"),
    "chats.code.hint": _in(
        "16 letters and digits; dashes and capitals do not matter. It is for you alone.",
        "16 bokstäver och siffror; bindestreck och stora bokstäver spelar ingen roll. Den är bara för dig.",
        "16 letters en cijfers; streepjes en hoofdletters maken niet uit. De code is alleen voor u.",
        "16 букв и цифр; дефисы и регистр не важны. Код предназначен только вам.",
    ),
    "chats.next": _in("Continue", "Fortsätt", "Verder", "Продолжить"),
    "chats.to.sign-in": _in(
        "Already linked? See it, or take it back",
        "Redan kopplad? Visa eller ta tillbaka",
        "Al gekoppeld? Bekijken of ongedaan maken",
        "Уже подключены? Посмотреть или отключить",
    ),
    "chats.to.code": _in(
        "I have a letter with a personal code",
        "Jag har ett brev med en personlig kod",
        "Ik heb een brief met een persoonlijke code",
        "У меня есть письмо с личным кодом",
    ),
    "chats.to.mine": _in("Show it", "Visa det", "Bekijken", "Показать"),
    "chats.fault.Length": _in(
        "A personal code has 16 letters and digits. Copy all of it.",
        "En personlig kod har 16 bokstäver och siffror. Kopiera hela.",
        "Een persoonlijke code heeft 16 letters en cijfers. Neem hem helemaal over.",
        "В личном коде 16 букв и цифр. Скопируйте его целиком.",
    ),
    "chats.fault.Letter": _in(
        "There is a letter, digit or sign in it that no code has. Codes are made of {alphabet}.",
        "Den innehåller en bokstav, siffra eller ett tecken som ingen kod har. Koder består av {alphabet}.",
        "Er staat een letter, cijfer of teken in dat in geen code voorkomt. Codes bestaan uit {alphabet}.",
        "В нём есть буква, цифра или знак, которых не бывает в кодах. Коды состоят из {alphabet}.",
    ),
    "chats.fault.Check": _in(
        "A letter or digit of the code is mistyped. Compare them one by one.",
        "En bokstav eller siffra i koden är fel. Jämför dem en i taget.",
        "Een letter of cijfer van de code is verkeerd getypt. Vergelijk ze een voor een.",
        "В коде опечатка. Сравните знаки по одному.",
    ),
    "chats.fault.Chat": _in(
        "This is no account of this chat server. Look in the settings of your chat app.",
        "Det här är inget konto på den här chattservern. Titta i inställningarna i din chattapp.",
        "Dit is geen account van deze chatserver. Kijk bij de instellingen van uw chat-app.",
        "Это не учётная запись этого сервера чатов. Посмотрите в настройках приложения.",
    ),
    "chats.fault.Number": _in(
        "That is not the number that was sent, or it counts no more. Compare it, or ask for another one.",
        "Det är inte numret som skickades, eller så gäller det inte längre. Jämför, eller be om ett nytt.",
        "Dit is niet het nummer dat is gestuurd, of het geldt niet meer. Vergelijk het, of vraag een nieuw nummer.",
        "Это не тот номер, который был отправлен, или он больше не действует. Сравните его или запросите новый.",
    ),
    "chats.fault.Unsent": _in(
        "No number that counts is in your chat: there is no such account, it takes no messages, or there were too "
        "many wrong tries. Check the account, and ask for another one.",
        "Inget giltigt nummer finns i din chatt: kontot finns inte, tar inte emot meddelanden, eller så blev det för "
        "många felförsök. Kontrollera kontot och be om ett nytt nummer.",
        "Er staat geen geldig nummer in uw chat: het account bestaat niet, ontvangt geen berichten, of er waren te "
        "veel foute pogingen. Controleer het account en vraag een nieuw nummer.",
        "В чате нет действующего номера: такой учётной записи нет, она не принимает сообщения, или было слишком много "
        "неверных попыток. Проверьте учётную запись и запросите новый номер.",
    ),
    "chats.account.title": _in(
        "Which chat account is yours?",
        "Vilket chattkonto är ditt?",
        "Welk chataccount is van u?",
        "Какая учётная запись в чате ваша?",
    ),
    "chats.account.lead": _in(
        "The code is for {initials} ({place}). If that is not you, close this page and give the letter back to the "
        "school.",
        "Koden är för {initials} ({place}). Om det inte är du, stäng sidan och lämna tillbaka brevet till skolan.",
        "De code is voor {initials} ({place}). Bent u dat niet, sluit deze pagina en geef de brief terug aan de "
        "school.",
        "Код предназначен для {initials} ({place}). Если это не вы, закройте страницу и верните письмо в школу.",
    ),
    "chats.account.linked": _in(
        "An account is linked already. Linking another one takes it out of the school's chats.",
        "Ett konto är redan kopplat. Kopplar du ett annat tas det bort från skolans chattar.",
        "Er is al een account gekoppeld. Koppelt u een ander, dan gaat het uit de schoolchats.",
        "Учётная запись уже подключена. Если подключить другую, прежняя выйдет из школьных чатов.",
    ),
    "chats.account": _in("Chat account", "Chattkonto", "Chataccount", "Учётная запись в чате"),
    "chats.account.hint": _in(
        "Such as @name:{server}. Never enter your password here.",
        "Till exempel @namn:{server}. Skriv aldrig ditt lösenord här.",
        "Zoals @naam:{server}. Vul hier nooit uw wachtwoord in.",
        "Например, @имя:{server}. Никогда не вводите здесь пароль.",
    ),
    "chats.send": _in(
        "Send me a number in the chat",
        "Skicka ett nummer till mig i chatten",
        "Stuur mij een nummer in de chat",
        "Прислать мне номер в чат",
    ),
    "chats.number.title": _in(
        "Look into your chat app", "Titta i din chattapp", "Kijk in uw chat-app", "Откройте приложение с чатами"
    ),
    "chats.number.lead": _in(
        "If it can be reached, {account} gets a message with a number within seconds. Enter the number here within "
        "{minutes} minutes, and give it to nobody.",
        "Om kontot kan nås får {account} ett meddelande med ett nummer inom några sekunder. Skriv in numret här inom "
        "{minutes} minuter och ge det inte till någon.",
        "Als het bereikbaar is, krijgt {account} binnen enkele seconden een bericht met een nummer. Vul het hier "
        "binnen {minutes} minuten in en geef het aan niemand.",
        "Если учётная запись {account} доступна, на неё за несколько секунд придёт сообщение с номером. Введите его "
        "здесь (время действия в минутах: {minutes}) и никому не сообщайте.",
    ),
    "chats.number": _in("Number", "Nummer", "Nummer", "Номер"),
    "chats.number.hint": _in(
        "8 letters and digits, from the message.",
        "8 bokstäver och siffror, från meddelandet.",
        "8 letters en cijfers, uit het bericht.",
        "8 букв и цифр из сообщения.",
    ),
    "chats.again": _in(
        "No message? Ask for another number",
        "Inget meddelande? Be om ett nytt nummer",
        "Geen bericht? Vraag een ander nummer",
        "Нет сообщения? Запросить другой номер",
    ),
    "chats.sign-in.title": _in(
        "Your linked account", "Ditt kopplade konto", "Uw gekoppelde account", "Ваша подключённая учётная запись"
    ),
    "chats.sign-in.lead": _in(
        "To see your remote lessons, or that your chat account is linked, or to take that back, prove that it is "
        "yours.",
        "Visa att chattkontot är ditt för att se dina distanslektioner eller att kontot är kopplat, eller för att ta "
        "tillbaka det.",
        "Toon aan dat het chataccount van u is om uw online lessen te zien, of dat het gekoppeld is, of om dat "
        "ongedaan te maken.",
        "Чтобы увидеть дистанционные уроки или подключённую учётную запись либо отключить её, подтвердите, что она "
        "ваша.",
    ),
    "chats.place": _in("School or district", "Skola eller huvudman", "School of bestuur", "Школа или район"),
    "chats.unlisted": _in(
        "Not listed? Then your school does not link accounts here: ask at school.",
        "Saknas din? Då kopplar skolan inte konton här: fråga på skolan.",
        "Staat uw school er niet bij? Dan koppelt zij hier geen accounts: vraag het op school.",
        "Нет вашей школы? Значит, она не подключает учётные записи здесь: спросите в школе.",
    ),
    "chats.mine.title": _in(
        "Your linked account", "Ditt kopplade konto", "Uw gekoppelde account", "Ваша подключённая учётная запись"
    ),
    "chats.mine.text": _in(
        "This account is yours in the school's records. The chats that belong to it open, and close, by themselves.",
        "Det här kontot är ditt i skolans register. Chattarna som hör till öppnas och stängs av sig själva.",
        "Dit account is van u in de administratie van de school. De chats die erbij horen gaan vanzelf open en dicht.",
        "Эта учётная запись числится за вами в данных школы. Относящиеся к ней чаты открываются и закрываются сами.",
    ),
    "chats.mine.none": _in(
        "No account is linked.",
        "Inget konto är kopplat.",
        "Er is geen account gekoppeld.",
        "Ни одна учётная запись не подключена.",
    ),
    # -- an account that is made on the way
    "chats.new.ask": _in(
        "No chat account yet?", "Inget chattkonto än?", "Nog geen chataccount?", "Ещё нет учётной записи в чате?"
    ),
    "chats.new.yes": _in("Make one", "Skapa ett", "Maak er een", "Создать"),
    "chats.new.title": _in(
        "Make a chat account", "Skapa ett chattkonto", "Een chataccount maken", "Создание учётной записи в чате"
    ),
    "chats.new.waiting": _in(
        "One moment: the chat server is being asked.",
        "Ett ögonblick: chattservern tillfrågas.",
        "Een ogenblik: de chatserver wordt gevraagd.",
        "Минуту: отправляется запрос на сервер чатов.",
    ),
    "chats.new.look": _in("Look again", "Titta igen", "Opnieuw kijken", "Проверить снова"),
    "chats.new.failed": _in(
        "The chat server lets nobody make an account at the moment. Ask at school.",
        "Chattservern låter ingen skapa konton just nu. Fråga på skolan.",
        "De chatserver laat op dit moment niemand een account maken. Vraag het op school.",
        "Сейчас сервер чатов не позволяет создавать учётные записи. Спросите в школе.",
    ),
    "chats.new.app": _in(
        "Open a chat app for Matrix, such as Element, and choose to create an account.",
        "Öppna en chattapp för Matrix, till exempel Element, och välj att skapa ett konto.",
        "Open een chat-app voor Matrix, zoals Element, en kies voor een account maken.",
        "Откройте приложение для Matrix, например Element, и выберите создание учётной записи.",
    ),
    "chats.new.server": _in(
        "As the server, enter", "Ange som server", "Vul als server in", "Введите в качестве сервера"
    ),
    "chats.new.register": _in(
        "Choose a user name, and a password that nobody else knows: not here, only in the app. Others see the user "
        "name.",
        "Välj ett användarnamn och ett lösenord som ingen annan känner till: inte här, bara i appen. Andra ser "
        "användarnamnet.",
        "Kies een gebruikersnaam en een wachtwoord dat niemand anders kent: niet hier, alleen in de app. Anderen zien "
        "de gebruikersnaam.",
        "Придумайте имя пользователя и пароль, который никто больше не знает: не здесь, а только в приложении. Имя "
        "пользователя видят другие.",
    ),
    "chats.new.token": _in(
        "When it asks for a registration token, enter",
        "När den frågar efter en registreringskod, skriv in",
        "Als de app om een registratietoken vraagt, vul in",
        "На запрос токена регистрации введите",
    ),
    "chats.new.once": _in(
        "It lets one account be made, within {minutes} minutes. Give it to nobody.",
        "Den räcker till ett konto, inom {minutes} minuter. Ge den inte till någon.",
        "Er kan één account mee worden gemaakt, binnen {minutes} minuten. Geef het aan niemand.",
        "С ним можно создать одну учётную запись (осталось минут: {minutes}). Никому его не сообщайте.",
    ),
    "chats.new.done": _in(
        "I have an account now: enter it",
        "Nu har jag ett konto: skriv in det",
        "Ik heb nu een account: invullen",
        "Учётная запись есть: указать её",
    ),
    "chats.enough.title": _in(
        "No more accounts with this letter",
        "Inga fler konton med det här brevet",
        "Geen accounts meer met deze brief",
        "Больше учётных записей по этому письму создать нельзя",
    ),
    "chats.enough.text": _in(
        "Enter an account that you have, or ask the school for another letter.",
        "Skriv in ett konto som du har, eller be skolan om ett nytt brev.",
        "Vul een account in dat u hebt, of vraag de school om een nieuwe brief.",
        "Укажите учётную запись, которая у вас есть, или попросите в школе новое письмо.",
    ),
    # -- one's chats
    "chats.list": _in("Your chats: {number}", "Dina chattar: {number}", "Uw chats: {number}", "Ваши чаты: {number}"),
    "chats.list.hint": _in(
        "They follow from the school's records, as they were looked at last.",
        "De följer av skolans register, så som de senast lästes.",
        "Ze volgen uit de administratie van de school, zoals die het laatst is bekeken.",
        "Они следуют из данных школы по состоянию на последнюю проверку.",
    ),
    "chats.list.prove": _in(
        "Your chats are shown once you have proven that the account is yours.",
        "Dina chattar visas när du har visat att kontot är ditt.",
        "Uw chats worden getoond zodra u hebt aangetoond dat het account van u is.",
        "Ваши чаты будут показаны, когда вы подтвердите, что учётная запись ваша.",
    ),
    "chats.type.StaffRoom": _in("Staff room", "Personalrum", "Lerarenkamer", "Учительская"),
    "chats.type.ClassStudents": _in("Students' chat", "Elevernas chatt", "Chat van de leerlingen", "Чат учеников"),
    "chats.type.ClassParents": _in("Parents' chat", "Vårdnadshavarnas chatt", "Chat van de ouders", "Чат родителей"),
    "chats.type.Subject": _in("Subject", "Ämne", "Vak", "Предмет"),
    "chats.type.Extra": _in("Extra chat", "Extra chatt", "Extra chat", "Дополнительный чат"),
    "chats.standing.Here": _in("you are in it", "du är med", "u zit erin", "вы в нём состоите"),
    "chats.standing.Coming": _in(
        "you are not in it yet", "du är inte med än", "u zit er nog niet in", "вы ещё не в нём"
    ),
    "chats.standing.Left": _in("you left it", "du har lämnat den", "u hebt hem verlaten", "вы из него вышли"),
    "chats.missing": _in(
        "Not linked yet: {number}",
        "Inte kopplade än: {number}",
        "Nog niet gekoppeld: {number}",
        "Ещё не подключены: {number}",
    ),
    "chats.to.table": _in(
        "All chats of the school", "Skolans alla chattar", "Alle chats van de school", "Все чаты школы"
    ),
    "chats.to.extra": _in(
        "Links of the chats that you lead",
        "Länkar till chattarna som du leder",
        "Links van de chats die u leidt",
        "Ссылки чатов, которые вы ведёте",
    ),
    # -- the table of links
    "chats.table.title": _in("Chats of the school", "Skolans chattar", "Chats van de school", "Чаты школы"),
    "chats.table.lead": _in(
        "As the system left them last. A link lets nobody in: people come into their chats once they have linked their "
        "account.",
        "Så som systemet senast lämnade dem. En länk släpper inte in någon: man kommer in i sina chattar när man har "
        "kopplat sitt konto.",
        "Zoals het systeem ze het laatst achterliet. Een link laat niemand binnen: mensen komen in hun chats zodra ze "
        "hun account hebben gekoppeld.",
        "По состоянию на последнюю проверку. Ссылка никого не впускает: люди попадают в свои чаты, когда подключат "
        "учётную запись.",
    ),
    "chats.table.class": _in("Class", "Klass", "Klas", "Класс"),
    "chats.table.reveal": _in("Show whole links", "Visa hela länkar", "Hele links tonen", "Показать ссылки целиком"),
    "chats.table.mask": _in("Hide the links", "Dölj länkarna", "Links verbergen", "Скрыть ссылки"),
    "chats.table.csv": _in("As a file (CSV)", "Som fil (CSV)", "Als bestand (CSV)", "Файлом (CSV)"),
    "chats.table.back": _in("Back to your chats", "Tillbaka till dina chattar", "Terug naar uw chats", "К вашим чатам"),
    "chats.extra.title": _in("Extra chats", "Extra chattar", "Extra chats", "Дополнительные чаты"),
    "chats.extra.name": _in("Name", "Namn", "Naam", "Название"),
    "chats.extra.room": _in("Chat", "Chatt", "Chat", "Чат"),
    "chats.extra.join": _in("Link for joining", "Länk för att gå med", "Link om mee te doen", "Ссылка для вступления"),
    "chats.count": _in(
        "{linked} linked, {unlinked} not yet",
        "{linked} kopplade, {unlinked} inte än",
        "{linked} gekoppeld, {unlinked} nog niet",
        "подключены: {linked}, ещё нет: {unlinked}",
    ),
    "chats.reason.not-made-yet": _in("not made yet", "inte skapad än", "nog niet gemaakt", "ещё не создан"),
    "chats.reason.held": _in(
        "waits for an approval",
        "väntar på ett godkännande",
        "wacht op een goedkeuring",
        "ожидает одобрения",
    ),
    "chats.reason.suspended": _in("suspended", "pausad", "onderbroken", "приостановлен"),
    "chats.unlink": _in("Take the link back", "Ta tillbaka kopplingen", "Koppeling ongedaan maken", "Отключить"),
    "chats.sure.title": _in(
        "Take the link back?", "Ta tillbaka kopplingen?", "Koppeling ongedaan maken?", "Отключить учётную запись?"
    ),
    "chats.sure.text": _in(
        "{account} leaves the chats that come from the school's records. To link it again you need another letter "
        "with a code.",
        "{account} lämnar chattarna som kommer från skolans register. För att koppla kontot igen behöver du ett nytt "
        "brev med en kod.",
        "{account} gaat uit de chats die uit de administratie van de school komen. Om opnieuw te koppelen hebt u een "
        "nieuwe brief met een code nodig.",
        "{account} выйдет из чатов, созданных по данным школы. Чтобы подключить её снова, понадобится новое письмо с "
        "кодом.",
    ),
    "chats.sure.yes": _in("Yes, take it back", "Ja, ta tillbaka", "Ja, ongedaan maken", "Да, отключить"),
    "chats.join.title": _in("Join a chat", "Gå med i en chatt", "Meedoen met een chat", "Вход в чат"),
    "chats.join.first": _in(
        "This link leads into one of the school's chats. First show which chat account is yours; it must be linked.",
        "Den här länken leder till en av skolans chattar. Visa först vilket chattkonto som är ditt; det måste vara "
        "kopplat.",
        "Deze link leidt naar een van de schoolchats. Laat eerst zien welk chataccount van u is; het moet gekoppeld "
        "zijn.",
        "Эта ссылка ведёт в один из школьных чатов. Сначала подтвердите, какая учётная запись в чате ваша; она должна "
        "быть подключена.",
    ),
    "chats.join.lead": _in(
        "Whoever is in this chat sees that you are in it, too.",
        "Alla som är med i den här chatten ser att du också är det.",
        "Wie in deze chat zit, ziet dat u er ook in zit.",
        "Все участники этого чата увидят, что вы тоже в нём.",
    ),
    "chats.join.yes": _in("Join this chat", "Gå med i chatten", "Meedoen", "Войти в чат"),
    "chats.join.leave": _in("Leave this chat", "Lämna chatten", "Chat verlaten", "Покинуть чат"),
    "chats.join.Asked": _in(
        "The chat is being opened for you. Look into your chat program in a few seconds.",
        "Chatten öppnas för dig. Titta i ditt chattprogram om några sekunder.",
        "De chat wordt voor u geopend. Kijk over enkele seconden in uw chatprogramma.",
        "Чат открывается для вас. Загляните в программу для чата через несколько секунд.",
    ),
    "chats.join.In": _in(
        "You are in this chat.",
        "Du är med i den här chatten.",
        "U zit in deze chat.",
        "Вы в этом чате.",
    ),
    "chats.join.Refused": _in(
        "By the school's records this link is not meant for you.",
        "Enligt skolans register är den här länken inte avsedd för dig.",
        "Volgens de administratie van de school is deze link niet voor u bedoeld.",
        "По данным школы эта ссылка предназначена не вам.",
    ),
    "chats.join.Left": _in(
        "You have left this chat.",
        "Du har lämnat den här chatten.",
        "U hebt deze chat verlaten.",
        "Вы покинули этот чат.",
    ),
    "chats.join.dead.title": _in(
        "This link does not work any more",
        "Den här länken fungerar inte längre",
        "Deze link werkt niet meer",
        "Эта ссылка больше не работает",
    ),
    "chats.join.dead.text": _in(
        "Ask whoever gave it to you for the new one.",
        "Be den som gav dig den om den nya.",
        "Vraag de nieuwe aan wie u deze heeft gegeven.",
        "Попросите новую у того, кто вам её дал.",
    ),
    "chats.dead.title": _in(
        "This code does not work any more",
        "Koden fungerar inte längre",
        "Deze code werkt niet meer",
        "Этот код больше не действует",
    ),
    "chats.dead.text": _in(
        "It was used, has expired, or a newer letter took its place. Ask the school for another letter.",
        "Den har använts, har gått ut eller ersatts av ett nyare brev. Be skolan om ett nytt brev.",
        "Hij is gebruikt, verlopen of vervangen door een nieuwere brief. Vraag de school om een nieuwe brief.",
        "Он уже использован, истёк или заменён новым письмом. Попросите в школе новое письмо.",
    ),
    "chats.taken.title": _in(
        "This account cannot be linked",
        "Kontot kan inte kopplas",
        "Dit account kan niet worden gekoppeld",
        "Эту учётную запись нельзя подключить",
    ),
    "chats.taken.text": _in(
        "It is linked to somebody else in the school's records. If it is yours alone, ask the school; your code stays "
        "good.",
        "Det är kopplat till någon annan i skolans register. Om det bara är ditt, fråga skolan; din kod gäller "
        "fortfarande.",
        "Het is in de administratie van de school aan iemand anders gekoppeld. Is het alleen van u, vraag het de "
        "school; uw code blijft geldig.",
        "Она числится за другим человеком в данных школы. Если она только ваша, обратитесь в школу; ваш код остаётся "
        "в силе.",
    ),
    # -- remote lessons and calls
    "weekdays": _in(
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "måndag tisdag onsdag torsdag fredag lördag söndag",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        "понедельник вторник среда четверг пятница суббота воскресенье",
    ),
    "months": _in(
        "January February March April May June July August September October November December",
        "januari februari mars april maj juni juli augusti september oktober november december",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    ),
    "lessons.title": _in(
        "Remote lessons",
        "Distanslektioner",
        "Online lessen",
        "Дистанционные уроки",
    ),
    "lessons.none": _in(
        "There are no remote lessons today or in the next two weeks.",
        "Det finns inga distanslektioner i dag eller de närmaste två veckorna.",
        "Er zijn vandaag en de komende twee weken geen online lessen.",
        "Сегодня и в ближайшие две недели дистанционных уроков нет.",
    ),
    "lessons.more": _in(
        "There are more; only the next ones are shown.",
        "Det finns fler; bara de närmaste visas.",
        "Er zijn er meer; alleen de eerstvolgende worden getoond.",
        "Есть и другие; показаны только ближайшие.",
    ),
    "lessons.now": _in(
        "now",
        "nu",
        "nu",
        "сейчас",
    ),
    "lessons.zone": _in(
        "Times are those of {zone} ({offset} today).",
        "Tiderna gäller för {zone} ({offset} i dag).",
        "De tijden zijn die van {zone} (vandaag {offset}).",
        "Время указано для {zone} (сегодня {offset}).",
    ),
    "lessons.to.new": _in(
        "Add a remote lesson",
        "Lägg till en distanslektion",
        "Een online les toevoegen",
        "Добавить дистанционный урок",
    ),
    "lessons.to.import": _in(
        "Import a calendar file",
        "Importera en kalenderfil",
        "Een agendabestand importeren",
        "Импортировать файл календаря",
    ),
    "lessons.to.list": _in(
        "All remote lessons",
        "Alla distanslektioner",
        "Alle online lessen",
        "Все дистанционные уроки",
    ),
    "lessons.teaches.none": _in(
        "By the school's records you teach no class today.",
        "Enligt skolans register undervisar du ingen klass i dag.",
        "Volgens de administratie van de school geeft u vandaag aan geen enkele klas les.",
        "По данным школы, сегодня вы не ведёте ни одного класса.",
    ),
    "lessons.new.title": _in(
        "Add a remote lesson",
        "Lägg till en distanslektion",
        "Een online les toevoegen",
        "Добавить дистанционный урок",
    ),
    "lessons.new.lead": _in(
        "Everybody in the class, and whoever is about its students, sees when the lesson is, and its title.",
        "Alla i klassen, och elevernas vårdnadshavare, ser när lektionen är och vad den heter.",
        "Iedereen in de klas, en wie voor de leerlingen zorgt, ziet wanneer de les is en hoe zij heet.",
        "Все в классе и родители учеников видят время и название урока.",
    ),
    "lessons.class": _in(
        "Class",
        "Klass",
        "Klas",
        "Класс",
    ),
    "lessons.day": _in(
        "Day",
        "Dag",
        "Dag",
        "День",
    ),
    "lessons.begins": _in(
        "Begins",
        "Börjar",
        "Begint",
        "Начало",
    ),
    "lessons.ends": _in(
        "Ends",
        "Slutar",
        "Eindigt",
        "Конец",
    ),
    "lessons.name": _in(
        "Title",
        "Rubrik",
        "Titel",
        "Название",
    ),
    "lessons.new": _in(
        "Add",
        "Lägg till",
        "Toevoegen",
        "Добавить",
    ),
    "lessons.import.title": _in(
        "Import a calendar file",
        "Importera en kalenderfil",
        "Een agendabestand importeren",
        "Импортировать файл календаря",
    ),
    "lessons.import.lead": _in(
        "Every entry of the file becomes a remote lesson of the class, for a year ahead. What the same calendar said "
        "before is replaced.",
        "Varje post i filen blir en distanslektion för klassen, ett år framåt. Det som samma kalender sade tidigare "
        "ersätts.",
        "Elke afspraak in het bestand wordt een online les van de klas, een jaar vooruit. Wat dezelfde agenda eerder "
        "zei, wordt vervangen.",
        "Каждая запись файла становится дистанционным уроком класса, на год вперёд. Прежние уроки из того же "
        "календаря заменяются.",
    ),
    "lessons.import.open": _in(
        "Everybody in the class sees the titles: take a calendar that has lessons of this class only.",
        "Alla i klassen ser rubrikerna: ta en kalender som bara har den här klassens lektioner.",
        "Iedereen in de klas ziet de titels: neem een agenda met alleen lessen van deze klas.",
        "Названия видит весь класс: возьмите календарь, в котором только уроки этого класса.",
    ),
    "lessons.file": _in(
        "Calendar file (.ics)",
        "Kalenderfil (.ics)",
        "Agendabestand (.ics)",
        "Файл календаря (.ics)",
    ),
    "lessons.file.hint": _in(
        "At most {size} kB.",
        "Högst {size} kB.",
        "Ten hoogste {size} kB.",
        "Не более {size} КБ.",
    ),
    "lessons.import": _in(
        "Import",
        "Importera",
        "Importeren",
        "Импортировать",
    ),
    "lessons.imported.title": _in(
        "The calendar was imported",
        "Kalendern har importerats",
        "De agenda is geïmporteerd",
        "Календарь импортирован",
    ),
    "lessons.imported.text": _in(
        "Lessons that it says: {lessons}. New or changed: {changed}.",
        "Lektioner i den: {lessons}. Nya eller ändrade: {changed}.",
        "Lessen die erin staan: {lessons}. Nieuw of veranderd: {changed}.",
        "Уроков в нём: {lessons}. Новых или изменённых: {changed}.",
    ),
    "lessons.imported.undo": _in(
        "Was it the wrong calendar? Remove one of its lessons, and you are asked whether all shall go.",
        "Var det fel kalender? Ta bort en av lektionerna, så får du frågan om alla ska bort.",
        "Was het de verkeerde agenda? Verwijder een van de lessen, dan wordt gevraagd of ze allemaal weg moeten.",
        "Не тот календарь? Удалите один из его уроков, и вас спросят, удалить ли все.",
    ),
    "lessons.left": _in(
        "Left out:",
        "Utelämnat:",
        "Weggelaten:",
        "Пропущено:",
    ),
    "lessons.left.Day": _in(
        "entries for whole days: {number}",
        "poster för hela dagar: {number}",
        "afspraken voor hele dagen: {number}",
        "записей на целый день: {number}",
    ),
    "lessons.left.Length": _in(
        "entries without an end, or longer than 12 hours: {number}",
        "poster utan slut eller längre än 12 timmar: {number}",
        "afspraken zonder einde of langer dan 12 uur: {number}",
        "записей без конца или длиннее 12 часов: {number}",
    ),
    "lessons.left.Rule": _in(
        "entries that repeat in a way that is not read here (days, weeks and months are): {number}",
        "poster som upprepas på ett sätt som inte läses här (dagar, veckor och månader läses): {number}",
        "afspraken die zich herhalen op een manier die hier niet wordt gelezen (dagen, weken en maanden wel): {number}",
        "записей с повторением, которое здесь не читается (читаются дни, недели и месяцы): {number}",
    ),
    "lessons.left.Zone": _in(
        "entries in a time zone that nobody knows: {number}",
        "poster i en okänd tidszon: {number}",
        "afspraken in een onbekende tijdzone: {number}",
        "записей в неизвестном часовом поясе: {number}",
    ),
    "lessons.fault.Class": _in(
        "Choose a class that you teach today.",
        "Välj en klass som du undervisar i dag.",
        "Kies een klas waaraan u vandaag lesgeeft.",
        "Выберите класс, который вы ведёте сегодня.",
    ),
    "lessons.fault.Day": _in(
        "Enter a day within a year from now, and times.",
        "Ange en dag inom ett år från nu, och tider.",
        "Vul een dag binnen een jaar vanaf nu in, en tijden.",
        "Укажите день в пределах года и время.",
    ),
    "lessons.fault.End": _in(
        "The end must lie after the begin and after now, and at most 12 hours later.",
        "Slutet måste ligga efter början och efter nu, och högst 12 timmar senare.",
        "Het einde moet na het begin en na nu liggen, ten hoogste 12 uur later.",
        "Конец должен быть позже начала и текущего времени, не более чем на 12 часов.",
    ),
    "lessons.fault.Title": _in(
        "Enter a title of at most 100 characters.",
        "Ange en rubrik med högst 100 tecken.",
        "Vul een titel van ten hoogste 100 tekens in.",
        "Введите название не длиннее 100 знаков.",
    ),
    "lessons.fault.Many": _in(
        "You have added too many lessons; remove some first.",
        "Du har lagt till för många lektioner; ta bort några först.",
        "U hebt te veel lessen toegevoegd; verwijder er eerst een paar.",
        "Вы добавили слишком много уроков; сначала удалите часть.",
    ),
    "lessons.fault.Size": _in(
        "The file is too large. Export this class's lessons only.",
        "Filen är för stor. Exportera bara den här klassens lektioner.",
        "Het bestand is te groot. Exporteer alleen de lessen van deze klas.",
        "Файл слишком большой. Экспортируйте только уроки этого класса.",
    ),
    "lessons.fault.NoCalendar": _in(
        "This is no calendar file. Programs call it iCalendar, or .ics.",
        "Det här är ingen kalenderfil. Program kallar den iCalendar eller .ics.",
        "Dit is geen agendabestand. Programma's noemen het iCalendar, of .ics.",
        "Это не файл календаря. В программах он называется iCalendar или .ics.",
    ),
    "lessons.fault.Entries": _in(
        "The file has more than 1000 entries. Export this class's lessons only.",
        "Filen har mer än 1000 poster. Exportera bara den här klassens lektioner.",
        "Het bestand heeft meer dan 1000 afspraken. Exporteer alleen de lessen van deze klas.",
        "В файле больше 1000 записей. Экспортируйте только уроки этого класса.",
    ),
    "lessons.fault.Lessons": _in(
        "The file says more than 1000 lessons, or repeats without any end. Give its entries an end.",
        "Filen ger mer än 1000 lektioner eller upprepas utan slut. Ge posterna ett slut.",
        "Het bestand geeft meer dan 1000 lessen, of herhaalt zonder einde. Geef de afspraken een einde.",
        "В файле больше 1000 уроков или бесконечные повторения. Укажите, когда записи заканчиваются.",
    ),
    "lessons.fault.Nothing": _in(
        "No lesson within a year was found in the file. Nothing was changed.",
        "Ingen lektion inom ett år hittades i filen. Inget har ändrats.",
        "In het bestand is geen les binnen een jaar gevonden. Er is niets veranderd.",
        "В файле нет уроков в пределах года. Ничего не изменено.",
    ),
    "lessons.remove": _in(
        "Remove",
        "Ta bort",
        "Verwijderen",
        "Удалить",
    ),
    "lessons.sure.title": _in(
        "Remove this lesson?",
        "Ta bort lektionen?",
        "Deze les verwijderen?",
        "Удалить этот урок?",
    ),
    "lessons.sure.text": _in(
        "The class sees it no more. A chat that its call has opened stays.",
        "Klassen ser den inte längre. En chatt som öppnats av samtalet finns kvar.",
        "De klas ziet haar niet meer. Een chat die door het videogesprek is geopend, blijft.",
        "Класс его больше не увидит. Чат, открытый видеозвонком, останется.",
    ),
    "lessons.sure.one": _in(
        "Yes, remove this lesson",
        "Ja, ta bort lektionen",
        "Ja, deze les verwijderen",
        "Да, удалить этот урок",
    ),
    "lessons.sure.calendar": _in(
        "It came with a calendar, and comes back with the next import if the file still has it.",
        "Den kom med en kalender och kommer tillbaka vid nästa import om filen fortfarande har den.",
        "Zij kwam met een agenda, en komt bij de volgende import terug als het bestand haar nog heeft.",
        "Он из календаря и вернётся при следующем импорте, если останется в файле.",
    ),
    "lessons.sure.all": _in(
        "Yes, remove all that came with this calendar",
        "Ja, ta bort allt som kom med kalendern",
        "Ja, alles verwijderen wat met deze agenda kwam",
        "Да, удалить всё из этого календаря",
    ),
    "lessons.gone.title": _in(
        "There is no such lesson",
        "Lektionen finns inte",
        "Deze les bestaat niet",
        "Такого урока нет",
    ),
    "lessons.gone.text": _in(
        "It was removed, or is of a class that is not yours.",
        "Den har tagits bort eller hör till en klass som inte är din.",
        "Zij is verwijderd, of hoort bij een klas die niet van u is.",
        "Он удалён или относится не к вашему классу.",
    ),
    "lessons.start": _in(
        "Start the call",
        "Starta samtalet",
        "Het videogesprek starten",
        "Начать видеозвонок",
    ),
    "lessons.waits": _in(
        "The call has not begun. This page shows it by itself when it has.",
        "Samtalet har inte börjat. Sidan visar det av sig själv när det börjar.",
        "Het videogesprek is nog niet begonnen. Deze pagina toont het vanzelf.",
        "Видеозвонок ещё не начался. Страница покажет его сама.",
    ),
    "lessons.early": _in(
        "You can start the call from {time} on.",
        "Du kan starta samtalet från {time}.",
        "U kunt het videogesprek vanaf {time} starten.",
        "Видеозвонок можно начать с {time}.",
    ),
    "lessons.over": _in(
        "This lesson is over.",
        "Lektionen är slut.",
        "Deze les is voorbij.",
        "Урок закончился.",
    ),
    "lessons.there": _in(
        "The call has begun.",
        "Samtalet har börjat.",
        "Het videogesprek is begonnen.",
        "Видеозвонок начался.",
    ),
    "lessons.chat": _in(
        "The chat of this class is open. Call there, with your own program.",
        "Klassens chatt är öppen. Ring därifrån med ditt eget program.",
        "De chat van deze klas is open. Bel daar, met uw eigen programma.",
        "Чат этого класса открыт. Звоните оттуда своей программой.",
    ),
    "lessons.link.call": _in(
        "Go to the call",
        "Gå till samtalet",
        "Naar het videogesprek",
        "Перейти к видеозвонку",
    ),
    "lessons.link.chat": _in(
        "Open the chat",
        "Öppna chatten",
        "De chat openen",
        "Открыть чат",
    ),
    "lessons.state.Waiting": _in(
        "The call is being made. This page shows it by itself, within seconds.",
        "Samtalet skapas. Sidan visar det av sig själv inom några sekunder.",
        "Het videogesprek wordt gemaakt. Deze pagina toont het vanzelf, binnen enkele seconden.",
        "Видеозвонок создаётся. Страница покажет его сама через несколько секунд.",
    ),
    "lessons.state.Held": _in(
        "The chat of this class waits for somebody of the district to approve it.",
        "Klassens chatt väntar på att någon hos huvudmannen godkänner den.",
        "De chat van deze klas wacht tot iemand van het bestuur hem goedkeurt.",
        "Чат этого класса ждёт одобрения администрации района.",
    ),
    "lessons.hold": _in(
        "Tell them the number of what is held: {id}",
        "Uppge numret på det som väntar: {id}",
        "Geef het nummer door van wat wacht: {id}",
        "Сообщите номер того, что ждёт: {id}",
    ),
    "lessons.state.Nowhere": _in(
        "This class has no chat for calls here. Ask at school.",
        "Klassen har ingen chatt för samtal här. Fråga på skolan.",
        "Deze klas heeft hier geen chat voor videogesprekken. Vraag het op school.",
        "У этого класса здесь нет чата для видеозвонков. Спросите в школе.",
    ),
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
