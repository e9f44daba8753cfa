// Hummingbird's server without its application, whose logger and request id of each request nobody here asks for.
import Foundation
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization

struct HTTPServer: Service {
    /// What a parser's error becomes while an answer is being written: its client can't be told any more.
    private struct Broken: Error {}

    let configuration: ServerConfiguration
    let logger: Logger
    let makeChannel: @Sendable (@escaping HTTPChannelHandler.Responder) -> any ServerChildChannel
    let onServerRunning: @Sendable (any Channel) async -> Void
    let respond: @Sendable (Request, any Channel) async -> Response

    func run() async throws {
        let clock = DateClock()
        let server = try HTTPServerBuilder(makeChannel).buildServer(
            configuration: configuration, eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger
        ) { [respond] request, writer, channel in
            var response = await respond(request, channel)
            response.headers[.date] = clock.now()
            do {
                try await writer.write(response: response.head, body: response.body)
            } catch is HTTPParserError {
                // As it is, the connection's own loop would answer it, inside of this answer.
                throw Broken()
            }
        } onServerRunning: { [onServerRunning] in
            await onServerRunning($0)
        }
        try await server.run()
    }
}

/// The time as the Date header has it (RFC 9110 section 5.6.7), written once a second.
private final class DateClock: Sendable {
    private let written = Mutex((second: 0, text: ""))

    func now() -> String {
        var second = time(nil)
        return written.withLock { written in
            if written.second != second {
                var parts = tm()
                gmtime_r(&second, &parts)
                let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { buffer in
                    // The process keeps the C locale: the names of days and months are the standard's.
                    strftime(buffer.baseAddress!, buffer.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
                    return String(cString: buffer.baseAddress!)
                }
                written = (second, text)
            }
            return written.text
        }
    }
}
