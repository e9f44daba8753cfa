// Waiting for signals.
import Dispatch

#if canImport(Glibc)
import Glibc
#endif

enum Signals: Int32 {
    case hangUp = 1
    case interrupt = 2
    case user1 = 10
    case terminate = 15

    /// Calls the body each time it arrives, one call at a time, until the returned task is cancelled.
    static func each(_ signal: Signals, _ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        Glibc.signal(signal.rawValue, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: signal.rawValue, queue: .global())
        source.setEventHandler { arrived.yield() }
        source.resume()
        return Task {
            for await _ in arrivals { await body() }
            source.cancel()
        }
    }

    /// Returns when one of them arrives. A second one then has its usual effect: it ends the process at once.
    static func firstOf(_ signals: Signals...) async {
        let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
        let sources = signals.map { signal in
            Glibc.signal(signal.rawValue, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: signal.rawValue, queue: .global())
            source.setEventHandler { arrived.yield() }
            source.resume()
            return source
        }
        for await _ in arrivals { break }
        for source in sources { source.cancel() }
        for signal in signals { Glibc.signal(signal.rawValue, SIG_DFL) }
    }
}
