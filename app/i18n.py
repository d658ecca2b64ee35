"""Every sentence of the page in English and Chinese. Labels are translated by Gradio in the browser, answers' furniture here."""

import gradio as gr
from starlette.requests import Request

LANGUAGES = ("en", "zh")

TEXTS: dict[str, tuple[str, str]] = {  # key: (English, Chinese)
    # the frame
    "title": ("NExT-GPT Chat", "NExT-GPT 聊天"),
    "ready": ("{name} is ready", "{name} 已就绪"),
    "loading": ("{name} is loading… you can already write", "{name} 正在加载…您可以先输入"),
    "failed": ("{name} could not be loaded: {problem}", "{name} 无法加载:{problem}"),
    "hello": ("What shall we make?", "我们来做点什么?"),
    "hello_more": (
        "Write, drop files or record your voice. Pictures, sounds and videos appear right here.",
        "输入文字、拖入文件或录音。图片、声音和视频会直接出现在这里。",
    ),
    "conversation": ("Conversation", "对话"),
    "message": ("Your message", "您的消息"),
    "message_hint": ("Write, or drop files here", "输入消息,或将文件拖到这里"),
    "camera": ("Camera", "摄像头"),
    # the sidebar
    "conversations": ("Conversations", "对话列表"),
    "new": ("New conversation", "新对话"),
    "delete": ("Delete this conversation", "删除此对话"),
    "export": ("Export", "导出"),
    "import": ("Import", "导入"),
    "keeps": (
        "Your conversations stay in this browser. Files are deleted after {hours} hours or with the conversation.",
        "对话保存在此浏览器中。文件在 {hours} 小时后或随对话一起删除。",
    ),
    # settings
    "settings": ("Settings", "设置"),
    "answer": ("Answer with", "回答形式"),
    "auto": ("auto", "自动"),
    "text": ("text", "文字"),
    "picture": ("picture", "图片"),
    "sound": ("sound", "声音"),
    "video": ("video", "视频"),
    "quality": ("Quality", "质量"),
    "fast": ("fast", "快速"),
    "balanced": ("balanced", "均衡"),
    "fine": ("fine", "精细"),
    "advanced": ("Advanced", "高级"),
    "forbid": ("Never make", "不要生成"),
    "forbid_info": ("What the next answers must not contain", "接下来的回答中不能包含的内容"),
    "temperature": ("Temperature", "温度"),
    "temperature_info": ("0 always takes the likeliest word; higher is more varied", "0 总取最可能的词;越高越多样"),
    "top_p": ("Top-p", "Top-p"),
    "top_p_info": ("Only words within this share of the likelihood are drawn", "只在此概率范围内抽词"),
    "max_new_tokens": ("Longest answer (tokens)", "最长回答(词元)"),
    "max_new_tokens_info": ("An answer is cut at this length", "回答超过此长度会被截断"),
    "guidance": ("Guidance", "引导强度"),
    "guidance_info": ("How closely media follow the words; 0 is the model's own setting", "媒体贴合文字的程度;0 为模型默认"),
    "steps": ("Steps", "步数"),
    "steps_info": ("Denoising steps of each file; 0 follows Quality", "每个媒体的去噪步数;0 跟随“质量”"),
    "seconds": ("Sound length (s)", "声音长度(秒)"),
    "seconds_info": ("0 is the model's own length", "0 为模型默认长度"),
    "frames": ("Video length (frames)", "视频长度(帧)"),
    "frames_info": ("0 is the model's own length", "0 为模型默认长度"),
    "seed": ("Seed", "随机种子"),
    "seed_info": ("Same message, settings and seed give the same result", "相同消息、设置与种子得到相同结果"),
    "lock": ("Keep this seed", "固定种子"),
    "lock_info": ("Otherwise each answer draws a new one", "否则每次回答都会换新种子"),
    # an answer
    "waiting": ("Waiting for the model…", "等待模型…"),
    "model_loading": ("The model is still loading; your answer comes right after.", "模型仍在加载,随后立即回答。"),
    "ahead": ("{count} ahead of you", "前面还有 {count} 个"),
    "thinking": ("Thinking…", "思考中…"),
    "making": ("Making a {noun}", "正在生成{noun}"),
    "step": ("step {step} of {steps}", "第 {step}/{steps} 步"),
    "left": ("about {seconds} s left", "约剩 {seconds} 秒"),
    "starting": ("starting…", "正在开始…"),
    "stopped": ("Stopped.", "已停止。"),
    "cut": (
        "The answer was cut at the longest length; raise it under Settings, Advanced.",
        "回答达到最长长度被截断,可在“设置-高级”中调高。",
    ),
    "medium_failed": ("The {noun} could not be made: {reason}", "{noun}无法生成:{reason}"),
    "medium_stopped": ("The {noun} was stopped before it was done.", "{noun}在完成前已停止。"),
    "gone": ("This {noun} was deleted after its time; ask for it again.", "该{noun}已过期删除,请重新生成。"),
    "copying": ("{label} is being prepared for your browser…", "正在为浏览器准备 {label}…"),
    "copied": (
        "{label}, converted for your browser; what you sent is kept as it is.",
        "{label} 已转换以便浏览器显示;您发送的文件保持原样。",
    ),
    "not_copied": ("{label} was understood, but your browser cannot show it.", "{label} 已读取,但浏览器无法显示。"),
    "nothing": ("The model said nothing; press retry or write it another way.", "模型没有回答,请重试或换种说法。"),
    "another": ("Make another", "再来一个"),
    "use": ("Use in my next message", "用于下一条消息"),
    "download": ("Download", "下载"),
    "made": ("AI-generated", "AI 生成"),
    "version": ("answer {here} of {count}", "第 {here}/{count} 个回答"),
    "earlier": ("Earlier answer", "上一个回答"),
    "later": ("Later answer", "下一个回答"),
    # routing
    "routing": ("How this answer was made", "此回答的生成过程"),
    "spans": ("Signal spans", "信号片段"),
    "span": ("{noun}: tokens {start} to {end}", "{noun}:第 {start} 至 {end} 个词元"),
    "no_spans": ("No signal tokens: the model answered in words alone.", "没有信号词元:模型只用文字回答。"),
    "times": ("Time per stage", "各阶段耗时"),
    "tokens": ("{prompt} tokens read, {generated} written", "读入 {prompt} 个词元,写出 {generated} 个"),
    "stage_perceive": ("perceive files", "感知文件"),
    "stage_prompt": ("assemble prompt", "组装提示"),
    "stage_read": ("read prompt", "读取提示"),
    "stage_write": ("write", "书写"),
    "stage_project": ("project signal tokens", "投影信号词元"),
    "encoders": ("encoders", "编码器"),
    "encoder": ("encoder", "编码器"),
    "decoder": ("decoder", "解码器"),
    "input_projection": ("input projection", "输入投影"),
    "llm": ("language model", "语言模型"),
    "output_projection": ("output projection", "输出投影"),
    "decoders": ("decoders", "解码器"),
    # files and complaints
    "used": ("{label}: {summary}", "{label}:{summary}"),
    "recalled": ("Its settings were recalled (seed {seed}).", "已恢复其设置(种子 {seed})。"),
    "empty": ("Write something or add a file first.", "请先输入文字或添加文件。"),
    "busy": ("The last answer is still being made; wait for it or press stop.", "上一个回答还在生成,请等待或按停止。"),
    "too_long": (
        "This message has {length} characters and {limit} are read at most; shorten it or send it in parts.",
        "此消息有 {length} 个字符,最多可读 {limit} 个;请缩短或分段发送。",
    ),
    "too_many": ("{count} files are too many for one message; send at most {limit}.", "一条消息最多 {limit} 个文件,当前为 {count} 个。"),
    "too_fast": ("That was more than {limit} messages in a minute; wait a moment.", "一分钟内超过 {limit} 条消息,请稍候。"),
    "too_many_turns": (
        "This conversation has {limit} turns, the most there can be; start a new one.",
        "此对话已达 {limit} 轮上限,请新建对话。",
    ),
    "too_many_versions": (
        "This message has {limit} answers, the most there can be; edit it or send it again.",
        "此消息已有 {limit} 个回答,达到上限;请编辑或重新发送。",
    ),
    "full": ("Too many people are waiting; try again in a minute.", "等待的人太多,请一分钟后再试。"),
    "too_many_waiting": (
        "{limit} of your answers are still to be made; wait for one of them, or stop it.",
        "您还有 {limit} 个回答未完成,请等待其中一个完成或将其停止。",
    ),
    "left_out": ("Not used: {problem}", "未使用:{problem}"),
    "not_kept": (
        "The files of this message could not be stored here; add them again, or try later.",
        "此消息的文件无法保存,请重新添加或稍后再试。",
    ),
    "imported": ("The conversation was imported.", "对话已导入。"),
    "nothing_to_export": ("There is nothing to export yet.", "还没有可导出的内容。"),
    "no_room": (
        "This server has no room for more files at the moment; delete conversations that you do not need, or try again later.",
        "服务器暂无空间存放更多文件;请删除不需要的对话,或稍后再试。",
    ),
    "too_large": ("This request is too large; at most {limit} MB are read.", "请求过大,最多 {limit} MB。"),
    "reload": (
        "This page was open for so long that the server put it away; reload it, and everything is there again.",
        "此页面打开过久,服务器已将其收起;请刷新页面,一切都会恢复。",
    ),
    "made_room": (
        "Deleted as the oldest: {titles}. At most {limit} conversations are kept.",
        "已删除最早的对话:{titles}。最多保留 {limit} 个对话。",
    ),
    "unkept": (
        "Your browser has no room for {titles}: export it within {hours} hours if you want to keep it.",
        "浏览器空间不足,无法保存 {titles};如需保留,请在 {hours} 小时内导出。",
    ),
    "before_edit": ("before the edit", "编辑之前"),
    "before_retry": ("earlier answer", "之前的回答"),
    "untitled": ("New conversation", "新对话"),
}


def say(key: str, language: str = "en", **values: object) -> str:
    """A sentence of the page in a language."""
    return TEXTS[key][LANGUAGES.index(language)].format(**values)


def noun(modality: str, language: str = "en") -> str:
    """What a person calls a modality."""
    return say({"image": "picture", "audio": "sound", "video": "video"}[modality], language)


def language_of(request: gr.Request | Request | None) -> str:
    """The page language a browser asks for: Chinese where it comes before English, else English."""
    accepted = (request.headers.get("accept-language") or "") if request is not None else ""
    for item in accepted.lower().split(","):
        if item.strip().startswith(LANGUAGES):
            return item.strip()[:2]
    return "en"


def translations() -> gr.I18n:
    """The same sentences for Gradio's own translation of labels in the browser."""
    english = {key: pair[0] for key, pair in TEXTS.items()}
    chinese = {key: pair[1] for key, pair in TEXTS.items()}
    return gr.I18n(**{"en": english, "zh": chinese, "zh-CN": chinese, "zh-TW": chinese})
