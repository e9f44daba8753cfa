// `ringway echo`: a WebSocket echo server on the same reactor and batch loop that messages take. For conformance
// and speed: it tells its counts to who asks.
import ArgumentParser
import Reactor

struct Echo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Echo every WebSocket message, through the same core and loop that messages take.",
        discussion: "SIGUSR1 prints how many messages, turns and system calls there were.")

    @Option(help: "The port to listen on; 0 picks a free one.")
    var port: UInt16 = 7400

    @Option(help: "The address to listen on.")
    var address = "127.0.0.1"

    @Option(help: "Reactor threads; 0: one a core.")
    var reactors = 1

    @Option(help: "What carries the sockets: auto, io_uring or epoll.")
    var io = Backend.automatic

    @Option(help: "The longest message, in bytes.")
    var messageBytesMax = 16 * 1024 * 1024

    @Option(help: "The most fragments of a message.")
    var fragmentsMax = 1 << 20

    @Flag(inversion: .prefixedNo, help: "Agree to permessage-deflate where it is offered.")
    var deflate = true

    @Option(help: "Speak TLS with this certificate, a PEM file; SIGHUP reads it again.")
    var tlsCert: String?

    @Option(help: "The certificate's key, a PEM file.")
    var tlsKey: String?

    @Flag(help: "Leave it to the kernel to encrypt what is sent over TLS, where it can.")
    var kernelTls = false

    func run() async throws {
        try await complaining { try await serve() }
    }

    private func serve() async throws {
        let certificate = try CertificateFiles(named: tlsCert ?? "", key: tlsKey ?? "")
        var settings = ReactorSettings()
        settings.path = "/"
        settings.backend = io
        settings.messageBytesMax = messageBytesMax
        settings.fragmentsMax = fragmentsMax
        settings.outboundBytesMax = 2 * messageBytesMax + 64 * 1024
        settings.poolBytesMax = 1 << 30
        settings.deflate.isOn = deflate
        settings.certificate = certificate
        settings.kernelTLS = kernelTls
        let reactors: ReactorGroup
        do {
            reactors = try await ReactorGroup.start(
                count: self.reactors, settings: settings, address: address, port: port
            ) { _ in EchoHandler() }
        } catch {
            throw Complaint(line: "ringway echo can't start: \(error)")
        }
        let renewals = Signals.each(.hangUp) {
            guard let certificate else { return }
            do {
                try await reactors.reloadCertificate(certificate)
                print("the certificate was read again")
            } catch {
                print("the certificate stays as it was: \(error)")
            }
            OutputStream.flush()
        }
        let questions = Signals.each(.user1) {
            let counts = await reactors.statistics
            print("messages \(counts.sum(\.messagesIn)) turns \(counts.sum(\.turns)) syscalls \(counts.sum(\.systemCalls))")
            OutputStream.flush()
        }
        print("ringway echo: \(certificate == nil ? "ws" : "wss")://\(address):\(reactors.port)/")
        OutputStream.flush()
        await Signals.firstOf(.terminate, .interrupt)
        renewals.cancel()
        questions.cancel()
        await reactors.stop()
    }
}

extension [ReactorStatistics] {
    fileprivate func sum(_ count: (ReactorStatistics) -> UInt64) -> UInt64 { reduce(0) { $0 + count($1) } }
}

extension Backend: ExpressibleByArgument {}

extension CertificateFiles {
    /// Nil when neither is named; one alone is an error.
    init?(named certificate: String, key: String) throws {
        if certificate.isEmpty && key.isEmpty { return nil }
        guard !certificate.isEmpty, !key.isEmpty else {
            throw Complaint(line: "--tls-cert and --tls-key go together: one of them is not set", code: 64)
        }
        self.init(certificate: certificate, key: key)
    }
}
