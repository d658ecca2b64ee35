"""The core speaks English only. Its sentences that a person may meet, in Chinese, by pattern."""

import re

from app.i18n import say

NAME, NUMBER = r"(?P<name>.+)", r"[0-9,.]+"
DAMAGED = "{name} 已损坏或不完整,请重新发送。"

# The order matters: the first pattern that fits a whole sentence is taken. Groups keep their names in the translation.
CHINESE: tuple[tuple[str, str], ...] = (
    # files
    (rf"{NAME} is not there any more; please add it again\.", "{name} 已不存在,请重新添加。"),
    (rf"{NAME} is empty \(0 bytes\); please choose another file\.", "{name} 是空文件(0 字节),请选择其他文件。"),
    (
        rf"{NAME} has (?P<size>{NUMBER} MB) and at most (?P<limit>{NUMBER} MB) can be read; please send a smaller file\.",
        "{name} 大小为 {size},最多可读 {limit},请发送更小的文件。",
    ),
    (rf"{NAME} is a HEIC picture, which cannot be read here; .+", "{name} 是 HEIC 图片,这里无法读取,请以 JPEG 或 PNG 发送。"),
    (rf"{NAME} is not a picture, sound or video that can be read but text; .+", "{name} 是文本,不是图片、声音或视频,请将其内容写入消息。"),
    (rf"{NAME} is a playlist, .+", "{name} 是播放列表,只列出其他文件,请直接发送那些文件。"),
    (rf"{NAME} uses a codec that is not known here; .+", "{name} 使用了这里未知的编码,请转换为 MP4 或 MP3 后重新发送。"),
    (rf"{NAME} takes too long to read; .+", "{name} 读取耗时过长,请发送更小或更短的副本。"),
    (
        rf"{NAME} (needs too much memory to read|cannot be read: it is damaged or needs too much memory); .+",
        "{name} 无法读取:已损坏或占用内存过多,请缩小或换一种格式发送。",
    ),
    (
        rf"{NAME} is one too many: the pictures of a message have (?P<limit>\d+) million pixels at most; .+",
        "{name} 超出限制:一条消息的图片总像素最多 {limit} 百万,请在另一条消息中发送。",
    ),
    (rf"{NAME} was not read: the files before it took too long; .+", "{name} 未读取:之前的文件耗时过长,请单独发送。"),
    (rf"{NAME} was not read, as many other files are being read; .+", "{name} 尚未读取:正在读取的文件太多,请一分钟后再试。"),
    (r"Files cannot be read here: .+", "此处无法读取文件:读取进程无法启动,请查看服务器。"),
    (
        rf"{NAME} is not a picture, sound or video that can be read; .+",
        "{name} 不是可读取的图片、声音或视频,请发送 PNG、JPEG、WAV、MP3 或 MP4。",
    ),
    (rf"{NAME} has neither moving pictures nor sound in it; .+", "{name} 中既没有画面也没有声音,请选择其他文件。"),
    (rf"{NAME} is damaged( or cut off)? and cannot be (shown|played|heard|read); please send it again( or in another format)?\.", DAMAGED),
    # pictures
    (rf"{NAME} is not a picture that can be read; .+", "{name} 不是可读取的图片,请以 PNG 或 JPEG 发送。"),
    (rf"{NAME} has too many pixels \(more than (?P<limit>\d+) million\); .+", "{name} 像素过多(超过 {limit} 百万),请发送较小的副本。"),
    (rf"{NAME} is (?P<size>\d+ × \d+) pixels: there is nothing to see; .+", "{name} 只有 {size} 像素,没有内容,请发送其他图片。"),
    (rf"{NAME} is too narrow a strip \((?P<size>\d+ × \d+)\); .+", "{name} 过于狭长({size}),请裁剪后重新发送。"),
    # sounds
    (rf"{NAME} is not a sound that can be read; .+", "{name} 不是可读取的声音,请以 WAV 或 MP3 发送。"),
    (rf"{NAME} holds no (sound|valid samples).*", "{name} 中没有声音,请重新录制或选择其他文件。"),
    (
        rf"{NAME} claims (?P<rate>\d+) Hz and (?P<channels>\d+) channels, .+",
        "{name} 标称 {rate} Hz、{channels} 声道,无法读取,请导出为 WAV 或 MP3。",
    ),
    (r"This sound is silent\.", "这段声音是静音。"),
    (r"The first (?P<seconds>[\d.]+) s of this sound are used\.", "将使用此声音的前 {seconds} 秒。"),
    # videos
    (rf"{NAME} has no (frame that can be shown|moving picture in it); .+", "{name} 中没有可显示的画面,请发送其他视频。"),
    (rf"{NAME} is (?P<size>\d+ × \d+) pixels large, which is too much; .+", "{name} 的画面为 {size} 像素,过大,请发送较小的副本。"),
    (rf"{NAME} is (?P<length>.+) long, which is too much; .+", "{name} 长 {length},过长,请只发送需要的部分。"),
    (r"The first (?P<seconds>[\d.]+) s of this video are used\.", "将使用此视频的前 {seconds} 秒。"),
    # a turn
    (r"This model cannot perceive a (picture|sound|video); .+", "此模型无法感知这类文件,请用文字描述。"),
    (
        rf"This message is too long \((?P<length>{NUMBER}) tokens; (?P<room>{NUMBER}) fit\)\. .+",
        "此消息过长({length} 个词元,最多 {room} 个),请缩短或减少文件。",
    ),
    (r"An answer can have 1 to (?P<limit>\d+) tokens, not (?P<wanted>-?\d+)\.", "回答长度须为 1 至 {limit} 个词元,而非 {wanted}。"),
    (r"A (picture|sound|video) is both asked for and forbidden; .+", "同一种媒体既被要求又被禁止,请更改其中一项设置。"),
    (r"The preset '(?P<preset>.+)' has no decoder for a (picture|sound|video), .+", "预设“{preset}”没有相应的解码器,因此未生成。"),
    (r"The safety checker held this picture back; .+", "安全检查拦下了这张图片,请换种说法或换个种子。"),
    (r"The (picture|sound|video) came out as invalid numbers; .+", "生成结果含无效数值,请更改设置或使用 float32。"),
    (r"This video has no frames? that can be (read|looked at); .+", "此视频没有可读取的画面,请发送其他视频。"),
    (r"This video cannot be read \((?P<reason>.+)\); .+", "此视频无法读取({reason}),请发送其他视频。"),
    (r"There is nothing to answer: .+", "没有可回答的内容:最后一条消息必须来自您。"),
    (r"This message is empty\. .+", "消息为空,请输入文字或添加文件。"),
    (
        r"The (?P<what>[\w -]+) must be a (whole )?number from (?P<least>\S+) to (?P<most>\S+), not .+",
        "此项设置须为 {least} 到 {most} 之间的数,请更改。",
    ),
    (r"A message is made of words and files .+", "消息只能由文字和文件组成。"),
    (r"A file's modality is one of .+", "此文件不是图片、声音或视频。"),
    (r"An answer may hold text, .+; there is no .+", "没有这种回答方式。"),
    (r"An answer with (?P<what>.+) is both asked for and forbidden; .+", "同一种媒体既被要求又被禁止,请更改其中一项设置。"),
    (r"This model cannot make a (picture|sound|video); .+", "此模型无法生成这类内容,请换一种要求。"),
    (r"(answer_with|forbid) takes a set of names .+", "此项设置的值无法识别,请更改。"),
    (r"Answer with one of .+", "没有这种回答方式,请更改设置。"),
    (r"What can be forbidden is .+", "此项设置的值无法识别,请更改。"),
    (r"There was not enough memory to look at the (picture|sound|video); .+", "内存不足,无法读取此文件;请发送更小的文件,或关闭其他程序。"),
    (r"There was not enough memory for the (picture|sound|video); .+", "内存不足,无法生成;请缩小尺寸,或关闭其他程序。"),
    (r"There was not enough memory for this answer; begin .+", "内存不足,无法回答;请新建对话,或要求更短的回答。"),
    (r"The (picture|sound|video) could not be made \((?P<reason>.+)\)\.", "无法生成({reason})。"),
    (r"The (picture|sound|video) decoder expects a condition of .+", "解码器与输出投影不匹配,请检查预设。"),
    (r"A generation needs at least one step\.", "生成至少需要一步,请调高步数。"),
    (r"There is not enough GPU memory to bring the language model back; .+", "显存不足,无法将语言模型移回;请关闭其他程序。"),
    # loading
    (
        r"There was not enough memory to load (?P<preset>.+); close .+",
        "内存不足,无法加载 {preset};请关闭其他程序,或选用更小的精度(--precision)。",
    ),
    (
        r"(?P<preset>.+) on a CPU needs (?P<needed>[0-9.]+ GiB) of free memory .+, and (?P<free>[0-9.]+) are free; .+",
        "{preset} 在 CPU 上需要 {needed} 可用内存,现有 {free} GiB;请关闭其他程序、减少解码器,或换用内存更大的机器或 GPU。",
    ),
    # the page's own machinery
    (r"There was not enough memory for this answer; .+", "内存不足,无法回答;请减少文件或帧数后重试。"),
    (r"Something went wrong while answering; .+", "回答时出错,请重试;若再次发生,请查看日志。"),
    (r"This conversation file is too large; at most (?P<limit>\d+ MB) can be imported\.", "对话文件过大,最多可导入 {limit}。"),
    (r"This conversation has \d+ turns; at most (?P<limit>\d+) can be imported\.", "对话轮数过多,最多可导入 {limit} 轮。"),
    (r"A message in this conversation has \d+ answers; at most (?P<limit>\d+) can .+", "一条消息的回答过多,最多可导入 {limit} 个。"),
    (r"A message in this conversation is too long; at most (?P<limit>\d+) characters .+", "对话中有消息过长,最多可导入 {limit} 个字符。"),
    (r"This conversation shows too many files; at most (?P<limit>\d+) can be imported\.", "对话中文件过多,最多可导入 {limit} 个。"),
    (r"The files of this conversation take too long to read; .+", "此对话中的文件读取耗时过长,请导入较小的对话。"),
    (r"This is not an exported conversation.+", "这不是导出的对话,或文件已损坏,请选择其他 zip 文件。"),
    (r"This server has no room for more files .+", say("no_room", "zh")),
    (r"The model (?P<name>.+) could not be loaded: (?P<problem>.+)", "模型 {name} 无法加载:{problem}"),
)


def translated(sentence: str, language: str) -> str:
    """A sentence of the core in the page's language; what is not known stays English."""
    if language == "zh":
        for pattern, chinese in CHINESE:
            found = re.fullmatch(pattern, sentence, re.DOTALL)
            if found:
                return chinese.format(**found.groupdict())
    return sentence
