// Work that a node does from time to time for the whole installation, as a service of its group. Several nodes may do it
// at once, so each piece of work must bear that.
import Logging
import ServiceLifecycle

struct Sweep: Service {
    private let interval: Duration
    private let logger: Logger
    private let work: @Sendable () async throws -> Void

    init(every interval: Duration, logger: Logger, _ work: @escaping @Sendable () async throws -> Void) {
        self.interval = interval
        self.logger = logger
        self.work = work
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await work()
                } catch is CancellationError {
                    return
                } catch {
                    // What is left undone is done the next time.
                    logger.warning("a sweep failed", metadata: ["error": "\(error)"])
                }
                try? await Task.sleep(for: interval)
            }
        }
    }
}
