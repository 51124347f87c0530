"""What customers of a made-up bank write, by intent and by urgency. Written for the demo, about nobody."""

from __future__ import annotations

from random import Random

INTENTS: dict[str, tuple[str, ...]] = {
    "card_lost": (
        "I lost my card somewhere in {place}.",
        "My card was stolen on {day}, together with my purse.",
        "I cannot find my debit card since {day}.",
        "My wallet is gone and the bank card was in it.",
        "I must have left my card in a taxi in {place}. Can you freeze it?",
        "Someone has taken my card. Block it before they use it.",
        "The card that you sent me went missing, I had it {day} and now it has disappeared.",
    ),
    "card_payment": (
        "My card payment of {amount} at {shop} was declined.",
        "There is a payment of {amount} to {shop} that I do not recognise.",
        "The card payment at {shop} on {day} is still pending.",
        "I paid {amount} by card at {shop} and it shows twice.",
        "Why was I charged an extra fee for paying by card in {place}?",
        "Contactless payment with my card does not work at {shop}.",
        "I bought something from {shop} for {amount} and the payment was reversed.",
    ),
    "cash_withdrawal": (
        "The cash machine in {place} gave me less than the {amount} that I asked for.",
        "I withdrew {amount} in cash and it shows as pending.",
        "The ATM in {place} would not let me take out cash.",
        "What does a withdrawal from an ATM in {place} cost?",
        "There is a cash withdrawal of {amount} on {day} that I did not make.",
        "The machine kept my notes: {amount} was booked but no cash came out.",
        "How much cash can I withdraw in a day?",
    ),
    "exchange_rate": (
        "Which exchange rate do you use for {currency}?",
        "The exchange rate for my purchase in {place} is wrong.",
        "I was given a worse rate for {currency} than the one in the app on {day}.",
        "Can I exchange {amount} into {currency} at today's rate?",
        "How do you work out the rate when I pay in {currency}?",
        "The conversion to {currency} cost me far more than the rate you publish.",
        "Is the currency rate fixed over the weekend?",
    ),
    "refund": (
        "{shop} promised me a refund of {amount} and it has not arrived.",
        "How do I get a refund for something I bought at {shop}?",
        "I sent the goods back on {day}. Where is my refund?",
        "Please refund the {amount} that {shop} took.",
        "My refund from {shop} shows on the statement but not in my balance.",
        "I cancelled the order at {shop} and want my money back.",
        "I would like to be reimbursed {amount} for a purchase I returned.",
    ),
    "top_up": (
        "My top-up of {amount} has failed.",
        "I topped up {amount} on {day} and my balance has not changed.",
        "Can I top up with a cheque?",
        "The automatic top-up did not go through.",
        "What is the limit for topping up my account?",
        "Why is there a charge for topping up by card?",
        "I tried to load {amount} onto the account and the top up was reverted.",
    ),
    "transfer": (
        "I sent a transfer of {amount} to {name} on {day} and it has not arrived.",
        "My transfer to {name} was declined.",
        "How long does a transfer to {place} take?",
        "I have sent {amount} to the wrong account. Can you cancel the transfer?",
        "There is a fee on the transfer I received from {name}.",
        "The beneficiary {name} is not allowed, it says. Why can I not send money?",
        "A transfer to {name} shows as failed but the {amount} is gone.",
    ),
    "other": (
        "How do I change my address? I moved to {place}.",
        "The app closes as soon as I open it.",
        "I forgot my passcode and cannot log in.",
        "Do you have a branch in {place}?",
        "Please send me a letter that I am a customer of yours.",
        "My daughter is fifteen. May she have an account?",
        "Your colleague {name} was very kind to me on {day}. Thank you.",
        "I would like to close my account.",
    ),
}

URGENCY: dict[str, tuple[str, ...]] = {
    "high": (
        "This is urgent.",
        "Please act immediately!",
        "I need this sorted today, my rent is due.",
        "It is an emergency, I am stranded abroad.",
        "High priority please, money is at risk.",
        "As soon as possible!!",
    ),
    "normal": (
        "",
        "",
        "",
        "Please let me know.",
        "Thanks in advance.",
        "Could you look into it?",
        "Kind regards, {name}",
    ),
    "low": (
        "No hurry.",
        "Whenever you have time.",
        "Low priority, I am only curious.",
        "There is no rush at all.",
        "It can wait until next month.",
    ),
}

OPENINGS = ("", "", "", "Hello,", "Hi there,", "Good morning,", "Dear team,", "hey", "Hi 👋")

ODD = (
    "{text} 😡😡😡",
    "“{text}” – that is what your chat told me…",
    "{text}\r\n\r\nSent from my phone",
    "\u202e{text}\u202c",
    "{text}\tRef:\t=1+1",
    "<b>{text}</b><script>alert('x')</script>",
    "{text} {{{{ row.text }}}} ${{HOME}}",
    "{text}\u200b\ufeff\u0007",
    "Z\u0351\u036f\u0302a\u0301lgo: {text}",
    "{text} '; DROP TABLE tickets; --",
)
"""Characters that have broken other people's software, around the text."""

PLACES = (
    "Leeds",
    "Kraków",
    "São Paulo",
    "Zürich",
    "Lyon",
    "Malmö",
    "İzmir",
    "Galway",
    "大阪",
    "Αθήνα",
    "Tallinn",
    "Porto",
)
SHOPS = (
    "the bakery",
    "Nordlicht Books",
    "Café Ünal",
    "BikeBarn",
    "Huset & Co",
    "a petrol station",
    "GreenGrocer 24",
    "Kino Elf",
)
CURRENCIES = ("euro", "dollars", "złoty", "yen", "francs", "kronor")
DAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "yesterday",
    "last week",
)
NAMES = ("Ada", "Björn", "Chidi", "Dilşad", "Eoin", "Fatima", "Grace", "Hana", "Ivo", "Jörg", "Łucja", "Mei")


def filled(chance: Random, text: str) -> str:
    """The text with a place, a shop, a sum and so on where it names them."""
    return text.format(
        place=chance.choice(PLACES),
        shop=chance.choice(SHOPS),
        currency=chance.choice(CURRENCIES),
        day=chance.choice(DAYS),
        name=chance.choice(NAMES),
        amount=f"{chance.choice('£€$')}{chance.randint(1, 900)}.{chance.randint(0, 99):02d}",
    )
