// The reactors of one listening port: one a core by default, joined by SO_REUSEPORT.

#if canImport(Glibc)
import Glibc
#endif

public struct ReactorGroup: Sendable {
    public let reactors: [Reactor]
    public let port: UInt16
    private let finished: [Task<Void, Never>]

    /// - Parameter count: threads; 0: one a core.
    public static func start<Handler: ReactorHandler>(
        count: Int, settings: ReactorSettings, address: String, port: UInt16,
        makeHandler: (Reactor) -> Handler
    ) async throws(GatewayError) -> ReactorGroup {
        let count = count > 0 ? count : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        var reactors: [Reactor] = []
        var finished: [Task<Void, Never>] = []
        var port = port
        for index in 0..<count {
            do {
                let started = try await Reactor.start(
                    index: index, settings: settings, address: address, port: port, joining: index > 0,
                    makeHandler: makeHandler)
                reactors.append(started.reactor)
                finished.append(started.finished)
                port = started.port
            } catch {
                await ReactorGroup(reactors: reactors, port: port, finished: finished).stop()
                throw error
            }
        }
        return ReactorGroup(reactors: reactors, port: port, finished: finished)
    }

    /// What carries the sockets, of all of them alike.
    public var carrier: Carrier { reactors[0].carrier }

    /// One a reactor.
    public var statistics: [ReactorStatistics] {
        get async {
            var all: [ReactorStatistics] = []
            for reactor in reactors { all.append(await Task(executorPreference: reactor) { reactor.statistics }.value) }
            return all
        }
    }

    /// For every reactor, or for none where the files are no pair.
    public func reloadCertificate(_ files: CertificateFiles) async throws(GatewayError) {
        for reactor in reactors { try await reactor.reloadCertificate(files) }
    }

    /// Ends every loop and waits for the threads to be done.
    public func stop() async {
        for reactor in reactors { reactor.stop() }
        for task in finished { await task.value }
    }
}
