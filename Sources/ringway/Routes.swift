// `ringway routes`: the HTTP API's routes as JSON, which scripts/openapi.py joins with the contract's comments.
import ArgumentParser
import Contract
import Foundation
import GRPCCore
import GRPCInProcessTransport
import HTTPAPI

struct Routes: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the HTTP API's routes as JSON.", shouldDisplay: false)

    func run() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let routes = summarizeRoutes(ServiceClients(GRPCClient(transport: InProcessTransport().client)))
        print(String(decoding: try encoder.encode(routes), as: UTF8.self))
    }
}
