// The terminal's side of a chat: lines, a password without echo, and text that can do a terminal no harm.
import Foundation

enum ChatInput {
    /// Lines that are read and wait; the reading thread waits when there are as many.
    private static let linesMax = 64

    /// The lines of standard input, to its end. Read on a thread of their own, because reading blocks.
    static func lines() -> AsyncStream<String> {
        let (stream, continuation) = AsyncStream.makeStream(of: String.self)
        let room = DispatchSemaphore(value: linesMax)
        Thread.detachNewThread {
            while let line = readLine() {
                room.wait()
                continuation.yield(line)
            }
            continuation.finish()
        }
        return AsyncStream(unfolding: {
            var iterator = stream.makeAsyncIterator()
            let line = await iterator.next()
            room.signal()
            return line
        })
    }

    /// RINGWAY_PASSWORD, or what is typed. nil if there is nobody to type it.
    static func password(of name: String) -> String? {
        if let password = ProcessInfo.processInfo.environment["RINGWAY_PASSWORD"] { return password }
        guard isatty(STDIN_FILENO) == 1 else { return nil }
        var shown = termios()
        tcgetattr(STDIN_FILENO, &shown)
        var hidden = shown
        hidden.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden)
        // Nobody is asked before nothing shows what they type.
        FileHandle.standardError.write(Data("password of \(name): ".utf8))
        defer {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown)
            FileHandle.standardError.write(Data("\n".utf8))
        }
        return readLine()
    }

    /// A whole line at once, without a buffer that a killed process would lose.
    static func print(_ line: String) {
        FileHandle.standardOutput.write(Data((line + "\n").utf8))
    }

    /// What others wrote, without what would move a cursor, hide text or turn its direction.
    static func harmless(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .lineSeparator, .paragraphSeparator: " "
                    case .format where scalar != "\u{200d}": " "
                    default: scalar
                    }
                }))
    }
}
