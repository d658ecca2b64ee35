"""What users type and what nano answers: the sentence frames that mosit.py fills.

Frames are plain data, separated by "|
". `{x}` is a thing with its article ("a red apple"), `{n}` without ("red apple"), `{name}` a bare name,
`{c}` a colour, `{k}` a number word, `{do}` and `{doing}` a motion ("spin", "spinning"). Every sixth frame or so is held out: training never
sees it, `eval nano` routes with it. The split follows the frame's own text, so adding a frame never moves another.
"""
# ruff: noqa: E501 (rows of data)

import zlib
from functools import cache

# ---- wishes ----------------------------------------------------------------------------------------------------------

_WISHES = {
    "image": """draw {x}|draw me {x}|draw {x} for me|please draw {x}|paint {x}|paint me {x}|sketch {x}|sketch {x} for me please|
doodle {x}|illustrate {x}|
show me {x}|show me a picture of {x}|show me an image of {x}|show me a photo of {x}|show me what {x} looks like|show {x}|show us {x}|
let me see {x}|
let's see {x}|let me look at {x}|make a picture of {x}|make an image of {x}|make me a drawing of {x}|make me a picture with {x}|
make {x}, as a picture|
create a picture of {x}|create an image of {x}|create an illustration showing {x}|create a drawing of {x}|generate an image of {x}|
generate a picture of {x}|
generate {n} image|produce an image of {x}|render {x}|render an image of {x}|design {x}|design an icon of {x}|picture of {x}|
a picture of {x}|
a picture of {x} please|an image of {x}|an image of {x} please|a drawing of {x}|a painting of {x}|a photo of {x}|photo of {n}|pic of {x}|
pic of {n} pls|
img of {x}|image: {x}|picture: {n}|{n} picture|{n} image please|{n}, drawn|{n} drawing|{n} pic|picture of {n} please|drawing of {n}|
icon of {x}|
emoji of {x}|sticker of {x}|poster of {x}|can you draw {x}|can you draw {x} for me|can you draw me {x}|can you show me {x}|
can you make a picture of {x}|
can you paint {x}|can u draw {x}|could you draw {x}|could you draw {x}, please|could you paint {x} for me|
could you show me a picture of {x}|
could you please make an image of {x}|would you draw {x}|would you paint me {x}|would you mind drawing {x}|will you draw {x} for me|
can i see {x}|
can i see a picture of {x}|can i have a picture of {x}|can i get an image of {x}|could i have a drawing of {x}|could i see {x}|
may i see {x}|
may i have a picture of {x}|i want a picture of {x}|i want to see {x}|i want you to draw {x}|i want an image with {x}|
i need a picture of {x}|
i need an image of {x} for my card|i need an illustration of {x}|i'd like a picture of {x}|i'd like to see {x}|i would like to see {x}|
i would like an image of {x}|i would love a painting of {x}|i'd love to see {x}|i wanna see {x}|i'm looking for a picture of {x}|
give me a picture of {x}|
give me an image of {x}|give me {x} to look at|give me a sketch of {x}|get me a photo of {x}|send me a picture of {x}|send a pic of {x}|
do you have a picture of {x}|have you got an image of {x}|got a pic of {x}|how about a picture of {x}|what about a drawing of {x}|
try to draw {x}|
try drawing {x}|imagine {x} and draw it|picture this: {x}|visualise {x}|visualize {x} for me|depict {x}|put {x} in a picture|
answer with a picture of {x}|
as a picture: {x}|drawing, {x}|pls draw {x}|plz show me {x}|yo draw {x}|a nice picture of {x}, please|one picture of {x}|
my kid wants a picture of {x}|
for my wall, a picture of {x}|use your pencil: {x}|please paint {x}|please show me {x}|please create {x} as an image|
hello, can you draw {x}|
hi, i want a picture of {x}|quick sketch of {x}|simple drawing of {x} please""",
    "audio": """play {x}|play me {x}|play {x} for me|please play {x}|play the sound of {x}|play a sound of {x}|play some {n}|
play a clip of {x}|
let me hear {x}|let me hear the sound of {x}|let me listen to {x}|let's hear {x}|let us hear {x}|make the sound of {x}|
make a sound like {x}|
make the noise of {x}|make an audio clip of {x}|make me a recording of {x}|create the sound of {x}|create an audio of {x}|
create a sound effect of {x}|
generate the sound of {x}|generate audio of {x}|generate a sound: {x}|produce the sound of {x}|record {x}|record {x} for me|imitate {x}|
imitate the sound of {x}|sound of {x}|the sound of {x}|the sound of {x} please|a sound of {x}|sound of {n} please|noise of {x}|
the noise of {x}|
audio of {x}|audio: {x}|sound: {n}|{n} sound|{n} sound please|{n} audio|{n}, as a sound|sound effect of {x}|a recording of {x}|
recording of {x}|
sound clip of {x}|what does {x} sound like|what would {x} sound like|how does {x} sound|how would {x} sound|
tell me how {x} sounds by playing it|
can you play {x}|can you play {x} for me|can you play the sound of {x}|can you make the sound of {x}|can you imitate {x}|can u play {x}|
could you play {x}|could you play {x}, please|could you let me hear {x}|could you make a sound like {x}|would you play {x}|
would you play me {x}|
will you play {x} for me|can i hear {x}|can i hear the sound of {x}|can i listen to {x}|could i hear {x}|may i hear {x}|
can i have the sound of {x}|
can i get an audio clip of {x}|i want to hear {x}|i want the sound of {x}|i want to listen to {x}|i want you to play {x}|
i need the sound of {x}|
i need an audio clip of {x}|i need a sound effect: {x}|i'd like to hear {x}|i would like to hear {x}|i'd like the sound of {x}|
i would love to hear {x}|
i'd love to listen to {x}|i wanna hear {x}|i'm looking for the sound of {x}|give me the sound of {x}|give me {x} to listen to|
give me an audio of {x}|
send me the sound of {x}|send me a recording of {x}|do you have the sound of {x}|got a sound of {x}|how about the sound of {x}|
what about some {n} sound|
try to sound like {x}|answer with the sound of {x}|as a sound: {x}|listen to {x}|pls play {x}|plz let me hear {x}|yo play {x}|
a nice recording of {x}, please|a short sound of {x}|something that sounds like {x}|for my ears: {x}|i am curious how {x} sounds|
show me how {x} sounds|please let me hear {x}|please make the sound of {x}|hello, can you play {x}|hi, i want to hear {x}|
my kid wants to hear {x}|
demonstrate the sound of {x}|reproduce the sound of {x}""",
    "video": """film {x}|film {x} for me|please film {x}|shoot a film of {x}|shoot a short clip of {x}|animate {x}|animate {x} for me|
make a film of {x}|
make a video of {x}|make me a video of {x}|make me a film of {x}|make a short film of {x}|make a movie of {x}|make a clip of {x}|
make a gif of {x}|
make an animation of {x}|create a video of {x}|create a film with {x}|create an animation of {x}|create a short clip of {x}|
generate a video of {x}|
generate a film of {x}|generate a clip showing {x}|produce a video of {x}|render a video of {x}|record a video of {x}|
show me a video of {x}|
show me a film of {x}|show me a clip of {x}|show me an animation of {x}|show me {x} in a film|show me {x}, as a video|play a video of {x}|
play a film of {x}|let me watch {x}|let me watch a film of {x}|let me see a film of {x}|let me see a video of {x}|let's watch {x}|
video of {x}|
a video of {x}|a video of {x} please|a film of {x}|film of {x} please|a clip of {x}|clip of {x}|movie of {x}|a short movie of {x}|
animation of {x}|
a little animation of {x}|gif of {x}|vid of {x}|vid of {x} pls|video: {x}|film: {x}|{x}, as a film|{x} as a video|{x}, video|
{x} in a short film|
{x}, animated|can you film {x}|can you make a video of {x}|can you make a film of {x}|can you animate {x}|can you show me a film of {x}|
can you show a video of {x}|can u make a video of {x}|could you film {x}|could you make a video of {x}, please|
could you animate {x} for me|
could you create a short film of {x}|would you make a film of {x}|would you film {x} please|will you make a video of {x}|can i watch {x}|
can i watch a video of {x}|can i see a film of {x}|can i see a video of {x}|can i have a video of {x}|can i get a clip of {x}|
could i see a movie of {x}|
may i watch a film of {x}|i want a video of {x}|i want a film of {x}|i want to watch {x}|i want to see a film of {x}|
i want to see a clip of {x}|
i need a video of {x}|i need an animation of {x}|i need a short clip of {x}|i'd like a video of {x}|i'd like to watch {x}|
i would like a film of {x}|
i would like to see a video of {x}|i would love a clip of {x}|i'd love to watch {x}|i wanna watch {x}|i'm looking for a video of {x}|
give me a video of {x}|give me a film of {x}|give me an animation of {x}|give me a clip of {x}|send me a video of {x}|
send me a clip of {x}|
do you have a video of {x}|got a video of {x}|how about a film of {x}|what about a video of {x}|try to film {x}|answer with a film of {x}|
as a film: {x}|as a video: {x}|moving picture of {x}|pls make a video of {x}|plz animate {x}|yo film {x}|a nice video of {x}, please|
my kid wants a film of {x}|for my channel, a video of {x}|please animate {x}|please show me a video of {x}|hello, can you film {x}|
hi, i want a video of {x}|bring {x} to life in a film|direct a tiny film: {x}|cinema time: {x}""",
}  # fmt: skip

_IMPLICIT = {
    "image": """i have never seen {x}|i've never seen {x} in my life|i wish i could see {x} right now|i would give anything to see {x}|
my wall is empty, {x} would look nice on it|
my daughter loves {x}, surprise her with a drawing|i forgot what {x} looks like|i can't imagine what {x} looks like|
i can't picture {x} in my head|
i wonder what {x} looks like|i need something to look at, maybe {x}|my eyes need {x}|i'd rather see {x} than read about it|
it would cheer me up to see {x}|
a postcard with {x} would be lovely|{x} would look great on my mug|i am making a birthday card, {x} on it would be nice|
if only i could see {x}|
my son asks how {x} looks|my screen could use {x} as a background picture""",
    "audio": """i have never heard {x}|i've never heard {x} in my life|i wish i could hear {x} right now|
i would give anything to hear {x}|i miss the sound of {x}|
i fall asleep best to the sound of {x}|it is so quiet here, {x} would be nice to hear|it's too silent, i'd love {x}|
i forgot how {x} sounds|
i can't imagine how {x} sounds|i wonder how {x} sounds|my ears need {x}|i need some background noise, like {x}|if only i could hear {x}|
my son asks how {x} sounds|it would cheer me up to hear {x}|i'm longing to hear {x}|nothing is as calming as hearing {x}|
my radio play needs {x}|
close my eyes and let me hear {x}""",
    "video": """i have never watched {x}|i wish i could watch {x} right now|i would give anything to watch {x}|
i wonder how {x} would look in a film|
my cat loves to watch {x} on a screen|i can't imagine {x}, show it in motion|it would cheer me up to watch {x}|if only i could watch {x}|
my channel needs a clip with {x}|i need something moving to watch, maybe {x}|a photo is not enough, i want to watch {x}|
my cinema is empty, {x} would fill it|
i'd rather watch {x} than a still picture|my son wants to watch {x}|let there be {x} on film|tonight's movie: {x}""",
}  # fmt: skip

# Longings without a thing's name: (what is typed, modality, what is made).
LONGINGS: tuple[tuple[str, str, str], ...] = (
    ("I miss the sea.", "audio", "ocean waves"), ("i miss the sea so much", "audio", "ocean waves"), ("I long for the ocean", "audio", "ocean waves"),
    ("I wish I were at the beach and could hear the water", "audio", "ocean waves"), ("I can't sleep without a storm outside.", "audio", "thunder"),
    ("I love falling asleep while it pours outside", "audio", "rain"), ("It never rains here and I miss it", "audio", "rain"),
    ("I need the calm of a wet afternoon", "audio", "rain"), ("I wish I sat by the fireplace", "audio", "a crackling fire"),
    ("I miss mornings in the forest", "audio", "birds chirping"), ("I miss waking up in the countryside", "audio", "a rooster crowing"),
    ("I feel like summer nights in the garden", "audio", "crickets"), ("My show just ended and nobody clapped", "audio", "applause"),
    ("i want to feel like a star on stage", "audio", "applause"), ("I miss Sunday mornings in my old town", "audio", "a church bell"),
    ("Scotland is calling me", "audio", "bagpipes"), ("I need to wake up my brother", "audio", "an alarm clock"),
    ("my puppy is away and the flat is so quiet", "audio", "a dog barking"), ("I miss my kitten's voice", "audio", "a cat meowing"),
    ("I want something romantic for my ears", "audio", "a violin"), ("I miss the autumn wind", "audio", "wind"),
    ("I have not seen the sun for weeks.", "image", "a sun"), ("it's grey outside, I need some colour in the sky", "image", "a rainbow"),
    ("I miss my dog's face", "image", "a dog"), ("I wish it were Christmas", "image", "a christmas tree"), ("I dream of the mountains", "image", "a mountain"),
    ("I want to give my wife flowers but the shop is closed", "image", "a bouquet"), ("I'm so hungry, I can only think of Italy's best dish", "image", "a pizza"),
    ("I want to look at the stars tonight but it's cloudy", "image", "a star"), ("I'd like to surprise my daughter, she adores horned horses", "image", "a unicorn"),
    ("It's her birthday and I forgot the cake", "image", "a birthday cake"), ("I dream of a holiday under palms", "image", "a palm tree"),
    ("I miss winter and building men of snow", "image", "a snowman"), ("I love you, and I want to show it", "image", "a heart"),
    ("I wish I could watch a space launch", "video", "a rocket moving up"), ("I'd love to watch planes take off all day", "video", "an airplane moving up"),
    ("I could watch balloons rise for hours", "video", "a balloon moving up"), ("I could watch leaves falling all day", "video", "a maple leaf moving down"),
    ("I love to watch a ball jump up and down", "video", "a soccer ball bouncing"), ("I miss watching ghosts disappear in old movies", "video", "a ghost fading away"),
    ("i could watch snow come down forever", "video", "a snowflake moving down"), ("I want to watch the cars drive by", "video", "a car moving to the right"),
    ("I would love to watch a planet turn", "video", "a globe spinning"), ("I want to watch a wheel go round", "video", "a wheel spinning"),
)  # fmt: skip

# Two media in one wish. Clauses are joined by _CLAUSE_JOINS, noun phrases by _NOUN_JOINS.
_CLAUSES = {
    "image": """draw {x}|paint {x}|sketch {x}|show me {x}|make a picture of {x}|show me a picture of {x}|give me an image of {x}|
create an image of {x}|let me see {x}""",
    "audio": """play {x}|let me hear {x}|play the sound of {x}|make the sound of {x}|give me the sound of {x}|imitate {x}|
let me listen to {x}""",
    "video": """film {x}|animate {x}|make a film of {x}|make a video of {x}|show me a video of {x}|show me a clip of {x}|
give me a short film of {x}""",
}
_NOUNS = {
    "image": "a picture of {x}|an image of {x}|a drawing of {x}|a photo of {x}|the picture of {x}|a painting of {x}",
    "audio": "the sound of {x}|an audio clip of {x}|a recording of {x}|the noise of {x}|a sound clip of {x}",
    "video": "a film of {x}|a video of {x}|a clip of {x}|an animation of {x}|a short movie of {x}",
}
_CLAUSE_JOINS = """{a} and {b}|{a}, then {b}|{a} and then {b}|first {a}, then {b}|please {a} and {b}|{a}. also {b}|{a} and also {b}|
can you {a} and {b}|
could you {a} and {b}, please|{a}, and {b}|i want you to {a} and to {b}|{a}; {b}|{a} + {b}|would you {a} and {b}|{a}. after that {b}"""
_NOUN_JOINS = """{a} and {b}|{a} and {b} please|i want {a} and {b}|i'd like {a} and {b}|give me {a} and {b}|can i have {a} and {b}|
can i get {a} with {b}|
{a} together with {b}|make {a} and {b}|{a} plus {b}|send me {a} and {b}|{a}, and {b} too|both {a} and {b}|i need {a} as well as {b}|
create {a} and {b}"""
_SAME_THING = """draw {x} and play its sound|show me {x} and let me hear it|a picture and a sound of {x}|
what does {x} look and sound like, show and play it|
let me see and hear {x}|i want to see and hear {x}|picture and sound of {x} please|paint {x} and make its sound|can i see and hear {x}|
{x}: picture and sound|give me {x} for the eyes and the ears|draw {x}, and how does it sound"""

# ---- words, and nothing else -----------------------------------------------------------------------------------------

_WORDS = """describe {x}|describe {x} in words|describe a picture of {x}|describe {x}, don't draw it|don't draw {x}, just describe it|
don't show me {x}, tell me about it|
tell me about {x}|tell me something about {x}|tell me what {x} is|just tell me what {x} is|what is {x}|what exactly is {x}|what's {x}|
explain what {x} is|
explain {x} to me in words|explain to a child what {x} is|no picture please, what is {x}|no image, just text: {x}|
without a picture, describe {x}|
only words please: what does {x} look like|in words only, describe {x}|use words, not pictures: {x}|text only: what is {x}|
write a sentence about {x}|
write one line about {x}|say something about {x}|write a caption for a picture of {x}|how would you describe {x}|
what do you know about {x}|
could you tell me about {x}|can you describe {x} to me|can you explain what {x} is|i don't need a picture, what is {x}|
i don't want a film, tell me about {x}|
please don't make any image, just explain {x}|what is {x} used for|what is special about {x}|do not paint, write about {x}|
give me a definition of {x}|
define {n}|what does the word {name} mean|i want to read about {x}, no pictures|answer in text: what is {x}|just words about {x}|
talk to me about {x}|i would like a description of {x}|a written description of {x} please|no drawing, only a sentence about {x}|
please describe to a blind person what {x} looks like|what would you write under a photo of {x}|let's talk about {x}"""

# Small talk that the base model answers badly; {reply} is ours.
SMALL_TALK: tuple[tuple[str, str], ...] = tuple(
    (message.strip(), reply.strip())
    for line in """hello; hi; hi there; hey; good day; hello nano; hi nano; hey nano; good afternoon; greetings; hello again; yo; howdy; hi friend; hello, nice to meet you; anybody there; is anyone there; good morning; good evening; hello there; hey you; hiya = Hello! What would you like to see, hear or talk about?
how are you; how are you today; how is it going; what's up; how do you do; how are things; are you well; are you ok; how have you been; how's your day; sup; how do you feel; you ok = I'm fine, thank you! How are you?
i am fine; i'm good, thanks; all good here = I'm glad to hear that. What shall we do?
who are you; what are you; what is your name; what's your name; do you have a name; tell me your name; how are you called; what should i call you; who made you; what kind of model are you; introduce yourself; who am i talking to = I'm NExT-GPT nano, a small model that talks in text, pictures, sound and film.
what can you do; help; what can you help me with; how does this work; what are you able to do; how do i use this; what are your skills; tell me what you can do; how do you work; what should i do here; i need help; help me please; what is this place = You can write, or send me a picture, a sound or a film. I can answer in words, draw, play sounds and make short films.
can you draw; do you draw; are you able to paint; can you make pictures; do you know how to draw; can you do drawings; can you make images; are you good at drawing; could you draw something for me some day; is drawing something you can do; do you make art; can u draw; can you create pictures = Yes, I can. What shall I draw?
can you make sounds; can you play music; do you make sounds; can you play something; do you know any sounds; can you do noises; are you able to make sounds; can you make music; can u make sounds; is it possible for you to play sounds; can you create audio = Yes, I can. What would you like to hear?
can you make videos; do you make films; can you film; can you animate things; do you know how to make films; are you able to make videos; can you do animations; can you create films; can u make videos; is it possible to get films from you; do you make movies; can you make clips = Yes, I can make short films. What should move, and how?
can you see; can you see pictures; can you look at photos; do you see images; are you able to see; can you see what i send; can u see pictures; do you understand pictures; can you recognise pictures; can you look at pictures; are you blind = Yes. Send me a picture and I will tell you what I see.
can you hear; can you listen to sounds; do you understand sounds; can you hear me; can you hear what i send; are you able to hear; can u hear; do you hear sounds; can you recognise sounds; are you deaf; can you listen = Yes. Send me a sound and I will tell you what I hear.
thank you; thanks; thanks a lot; many thanks; thank you very much; thanks so much; thx; much appreciated; i appreciate it; thank you, that's all; thanks, bye; thanks for your help; thank you so much; cheers; ty = You're welcome!
great; nice; cool; wow; i like it; that's lovely; beautiful; awesome; well done; perfect; very nice; so cute; love it; good job; great job; nice one; that's great; that's cool; amazing; wonderful; good; excellent; super; brilliant; haha; lol; not bad; sweet; fantastic; thats nice = I'm glad you like it!
ok; okay; i see; alright; fine; got it; right; sure thing; understood; good to know; makes sense; hm; hmm; ah; oh; all right; okay then; aha; interesting; really; k; yep = Good. Tell me if you want anything else.
goodbye; bye; see you later; bye bye; see you soon; farewell; talk to you later; i have to go; i must leave now; until tomorrow; have a nice day; ciao; good night; see you = Goodbye, and come back soon!
i am sad; i feel sad today; i feel lonely; i'm feeling down = I'm sorry to hear that. Would you like to talk about it?
i am happy; i am so happy today; what a great day = That's wonderful! What made your day?
i'm bored; i am bored; nothing to do = Shall we play? Send me a picture, and I will tell you what I see.
i'm tired; i am so tired; i had a long day = Then rest a little. I'll be here.
are you a person; are you human; are you real; are you a robot = No, I'm a small computer program, but a friendly one.
sorry; my mistake; oops; i'm sorry; sorry about that; my bad; pardon; excuse me; i apologise; oh, sorry; sorry, wrong button; forgive me; that was my fault = No problem at all.
no; no thanks; no thank you; not now; nope; nothing; nothing, thanks; never mind; forget it; not today; that's all; nah; no more; stop it; please stop; enough; leave it = All right. Just tell me when you want something.
yes; yes please; sure = Good! What would you like?
that is wrong; that's not right; that's bad; wrong; that's not it; i don't like it; not good; you are wrong; that is not what i wanted; that was wrong; bad; terrible; ugly; it's not right; this is wrong = I'm sorry about that. Tell me again what you would like.
i love you; you are sweet; you're nice = That's kind of you!
tell me a joke; make me laugh; do you know a joke = Why did the picture go to jail? Because it was framed.""".splitlines()
    for messages, reply in [line.split(" = ")]
    for message in messages.split(";")
)

# ---- questions about what was sent -----------------------------------------------------------------------------------

_QUESTIONS = {
    "image": """what is this|what's this|what is that|what is it|what do you see|what can you see|what is in the picture|
what's in this picture|what is in this image|
what does the picture show|what is shown here|what am i looking at|name this|name it|name the thing|what is this thing called|
what do you call this|
can you tell me what this is|do you know what this is|tell me what you see|identify this|what object is this|which thing is this|
what did i draw|
guess what this is|what might this be|please name what you see|can you recognise it|what is on the photo|i found this, what is it|?|
what is this?? """,
    "audio": """what is this|what is that|what's this sound|what do you hear|what can you hear|what is this sound|what is that noise|
what sound is this|what makes this sound|
what makes this noise|name this sound|name it|what am i hearing|what am i listening to|which instrument or thing is this|
can you tell me what this is|
do you know this sound|tell me what you hear|identify this sound|guess what this is|what did i record|please name what you hear|
can you recognise the sound|i heard this outside, what is it|what is it|?|what's that""",
    "video": """what is this|what's happening here|what happens in this film|what happens here|what do you see|what is in the video|
what's in this video|what does the film show|
what does the video show|what is going on|what am i watching|describe the film|describe this video|describe what happens|
tell me what happens|
tell me what you see|can you tell me what this shows|what is it doing|what goes on in this clip|summarise the clip|
please describe the clip|
what did i film|guess what happens here|what is moving here and how|who moves, and how|?|what can you see in the film""",
}  # fmt: skip
_DESCRIBE = {
    "image": """describe the picture|describe this|describe this image|describe it in detail|caption this|write a caption|
generate a caption|give me a caption for this|
tell me about this picture|what exactly do you see|describe what you see|how would you describe it|in one line, what is shown|
caption please|please describe the image""",
    "audio": """describe the sound|describe this|describe what you hear|caption this|write a caption|generate a caption|
give me a caption for this sound|tell me about this sound|
what exactly do you hear|how would you describe it|caption please|please describe the recording""",
    "video": """caption this|write a caption|generate a caption|give me a caption for this film|caption please|tell me about this film|
what exactly do you see""",
}
_DETAILS = {
    "colour": """what colour is it|which colour is it|what color is this|what color does it have|tell me its colour|
is it red or blue or what|the colour?|which colour do you see""",
    "count": """how many are there|how many do you see|count them|how many|what number of things is shown|can you count them|
tell me how many there are""",
    "background": """what colour is the background|what is the background|which colour is behind it|what color is the background|
describe the background|and the background?""",
    "position": "where is it|where in the picture is it|is it left or right|which side is it on|where do you see it|where exactly",
    "motion": """how does it move|how is it moving|what does it do|what is it doing|which way does it go|what kind of motion is this|
describe the movement|how does that move""",
    "mover": "what is moving|who is moving|what moves here|which thing moves|name what moves|what is it that moves",
}

# ---- going on --------------------------------------------------------------------------------------------------------

_EDITS = {
    "colour": """make it {c}|now in {c}|the same but {c}|in {c} please|in {c}|paint it {c}|can it be {c}|now {c}|could you make it {c}|
same thing, {c}|change the colour to {c}|
change it to {c}|i'd prefer it {c}|do it in {c}|again, but {c}|turn it {c}|draw it in {c}|colour it {c}|what about {c}|a {c} one please|
let it be {c}|{c} would be nicer""",
    "count": """now {k}|make it {k}|{k} of them|i want {k}|{k} please|can you draw {k} of them|the same but {k} of them|
i need {k} of those|not one, {k}|draw {k}|let there be {k}""",
    "background": """on a {c} background|now on a {c} background|with a {c} background|put it on a {c} background|make the background {c}|
the background should be {c}|
change the background to {c}|same with a {c} background|can the background be {c}|i want it on a {c} background""",
    "motion": """make it {do}|make that one {do}|now make it {do}|let it {do}|i want it to {do}|can it {do}|can you make it {do}|
could you make it {do}|now it should {do}|
show it {doing}|film it {doing}|a film of it {doing}|a video of that {doing}|animate it: {doing}|make a film where it is {doing}|
now {doing}, as a film|have it {do}|
i want to see it {do}|i'd like to watch it {do}|turn it into a film: {doing}|same but {doing}|what if it could {do}|please make it {do}|
let me watch it {do}|and now it starts to {do}""",
    "to_video": """now as a film|as a film|as a video|animate it|animate it please|make it move|turn it into a film|
turn this into a video|make a video of it|make a film of that|
can you animate that|film it|now make a film of it|and as a film|i want it as a video|bring it to life|a clip of it please|let it move|
could you film that""",
    "to_image": """draw it|draw it for me|as a picture|now as a picture|show me a picture of it|paint it|can you draw it|
could you draw that|can i see it|make a picture of it|
a picture of it please|turn it into a picture|i want to see it|sketch it|let me see it|show me|draw that|make an image of this|
and as a picture|what does it look like, draw it""",
    "to_audio": """what does it sound like|how does it sound|and its sound|play its sound|let me hear it|can i hear it|make its sound|
and how does it sound|play the sound of it|
what sound does it make|i want to hear it|the sound please|now the sound of it|can you play its sound|could i hear that|give me its sound|
and as a sound""",
    "again": """again|again please|one more|one more please|another one|another one please|once more|do that again|can you do it again|
repeat that|more|try again|
make another|i want one more|the same again|give me another one""",
    "correct": """no, {x}|no, i meant {x}|i meant {x}|not that, {x}|sorry, i wanted {x}|actually {x}|wrong, {x} please|no no, {x}|
that's wrong, i asked for {x}|i said {x}|
rather {x}|make that {x}|{x} instead|instead of that, {x}|oops, {x} i mean|hm, no. {x}|i'd rather have {x}|change it to {x}|no! {x}|
replace it with {x}""",
    "next": """and {x}|now {x}|and now {x}|what about {x}|how about {x}|the same with {x}|{x} too|also {x}|then {x}|next, {x}|
and {x} too please|now do {x}|do the same for {x}|
same for {x}|can you also do {x}|ok, now {x}|nice, and {x}|great. {x} next|{x} please|thanks! now {x}""",
}  # fmt: skip

# What the motions of motions.py are called in a wish: infinitives and "-ing" forms.
MOTION_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "moving to the left": (("move to the left", "go left", "slide to the left", "walk left", "run to the left"), ("moving to the left", "going left", "sliding left")),
    "moving to the right": (("move to the right", "go right", "slide to the right", "walk right", "drive right"), ("moving to the right", "going right", "sliding right")),
    "moving up": (("move up", "fly", "rise", "go up", "fly up", "take off"), ("moving up", "flying", "rising", "going up")),
    "moving down": (("move down", "fall", "sink", "go down", "fall down", "drop"), ("moving down", "falling", "sinking", "going down")),
    "spinning": (("spin", "rotate", "turn around", "twirl", "go round"), ("spinning", "rotating", "turning", "twirling")),
    "bouncing": (("bounce", "jump", "hop", "jump up and down"), ("bouncing", "jumping", "hopping")),
    "growing": (("grow", "get bigger", "become larger", "get larger"), ("growing", "getting bigger", "becoming larger")),
    "shrinking": (("shrink", "get smaller", "become tiny"), ("shrinking", "getting smaller", "becoming tiny")),
    "shaking": (("shake", "tremble", "wobble", "vibrate", "wiggle"), ("shaking", "trembling", "wobbling", "vibrating")),
    "fading away": (("fade away", "disappear", "vanish", "fade"), ("fading away", "disappearing", "vanishing")),
    "standing still": (("stand still", "stay still", "not move"), ("standing still", "not moving")),
}  # fmt: skip
MOTION_ANSWERS = {
    "moving to the left": "It moves to the left.", "moving to the right": "It moves to the right.", "moving up": "It moves up.",
    "moving down": "It moves down.", "spinning": "It spins.", "bouncing": "It bounces.", "growing": "It grows.", "shrinking": "It shrinks.",
    "shaking": "It shakes.", "fading away": "It fades away.", "standing still": "It stands still.",
}  # fmt: skip

# ---- answers ---------------------------------------------------------------------------------------------------------

MADE: dict[str, tuple[str, ...]] = {
    "image": ("Here is {x}.", "Here is {x}.", "Here you go: {x}.", "I drew {x} for you.", "Of course! Here is {x}.", "This is {x}."),
    "audio": ("Here is {x}.", "This is {x}.", "Listen: {x}.", "Here you can hear {x}.", "Of course! This is {x}.", "Listen: {x}."),
    "video": ("Here is {x}.", "Here is a film of {x}.", "Watch: {x}.", "I filmed {x} for you.", "Of course! Here is a film of {x}."),
}
CORRECTED: dict[str, tuple[str, ...]] = {
    "image": ("Sorry! Here is {x}.", "Of course, here is {x}."),
    "audio": ("Sorry! This is {x}.", "Of course, this is {x}."),
    "video": ("Sorry! Here is a film of {x}.", "Of course, here is a film of {x}."),
}
NAMED: dict[str, tuple[str, ...]] = {
    "image": ("That's {x}.", "This is {x}.", "I see {x}.", "It's {x}."),
    "audio": ("That's {x}.", "I hear {x}.", "That sounds like {x}.", "It's {x}."),
    "video": ("It's {x}.", "I see {x}.", "The film shows {x}.", "That's {x}."),
}
DESCRIBED: dict[str, tuple[str, ...]] = {"image": ("The picture shows {x}.", "I see {x}."), "audio": ("The sound is {x}.", "I hear {x}."), "video": ("The film shows {x}.",)}

OPENERS = ("", "", "", "", "", "", "please ", "hey, ", "hi! ", "ok, ", "so, ", "now ", "well, ", "hello. ", "um, ", "dear nano, ", "quick: ", "one wish: ")
CLOSERS = ("", "", "", "", "", "", "", " please", ", please", " thanks", ", thank you", " pls", " for me", " now", " :)", ", would you", ", if you can", " right away")


def is_held_out(frame: str) -> bool:
    """True for about one frame in six: evaluation only."""
    return zlib.crc32(frame.encode()) % 6 == 3


@cache
def frames(kind: str, key: str = "", *, held_out: bool) -> tuple[str, ...]:
    """The frames of a kind ("wish", "implicit", "clause", "noun", "question", "describe", "detail", "edit", "words", …) on one side of the split."""
    text = _TABLES[kind][key] if key else _TABLES[kind][""]
    return tuple(frame for frame in _split(text) if is_held_out(frame) == held_out)


@cache
def longings(*, held_out: bool) -> tuple[tuple[str, str, str], ...]:
    """The entries of LONGINGS on one side of the split."""
    return tuple(entry for entry in LONGINGS if is_held_out(entry[0]) == held_out)


@cache
def small_talk(*, held_out: bool) -> tuple[tuple[str, str], ...]:
    """The entries of SMALL_TALK on one side of the split."""
    return tuple(entry for entry in SMALL_TALK if is_held_out(entry[0]) == held_out)


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(frame.strip() for frame in text.replace("\n", "").split("|")))


_TABLES: dict[str, dict[str, str]] = {
    "wish": _WISHES,
    "implicit": _IMPLICIT,
    "clause": _CLAUSES,
    "noun": _NOUNS,
    "clause join": {"": _CLAUSE_JOINS},
    "noun join": {"": _NOUN_JOINS},
    "same thing": {"": _SAME_THING},
    "words": {"": _WORDS},
    "question": _QUESTIONS,
    "describe": _DESCRIBE,
    "detail": _DETAILS,
    "edit": _EDITS,
}
