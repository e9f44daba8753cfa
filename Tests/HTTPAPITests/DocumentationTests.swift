// The API's description is what the server serves, and its pages are served safely.
import Contract
import Foundation
import GRPCCore
import GRPCInProcessTransport
import HTTPTypes
import Testing

@testable import HTTPAPI

@Suite struct DocumentationTests {
    private struct Description: Decodable {
        struct Operation: Decodable {
            struct Parameter: Decodable {
                let name: String
                let `in`: String
            }
            struct Security: Decodable {}
            let operationId: String
            let parameters: [Parameter]?
            let security: [[String: [String]]]?
        }
        let paths: [String: [String: Operation]]
    }

    @Test func description__names_every_route_and_no_other() async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await client.execute(uri: "/openapi.json", method: .get)
            let description = try JSONDecoder().decode(Description.self, from: Data(answer.text.utf8))
            let clients = ServiceClients(GRPCClient(transport: InProcessTransport().client))
            let routes = summarizeRoutes(clients)
            // Routes of bytes have no messages to be described by: they are named only.
            let bytes = makeRoutes(clients).filter { $0.summary == nil }.map { "\($0.method.rawValue) \($0.path.text)" }
            let described = description.paths.flatMap { path, operations in
                operations.filter { !bytes.contains("\($0.key.uppercased()) \(path)") }.map { method, operation in
                    let query = (operation.parameters ?? []).filter { $0.in == "query" }.map(\.name).sorted()
                    return "\(method.uppercased()) \(path) \(operation.operationId) \(query) \(operation.security == nil)"
                }
            }
            let served = routes.map {
                let method = $0.rpc.split(separator: "/").last ?? ""
                return "\($0.method) \($0.path) \(method) \($0.query.sorted()) \($0.needsToken)"
            }
            #expect(described.sorted() == served.sorted())
            for route in bytes {
                let parts = route.split(separator: " ").map(String.init)
                #expect(description.paths[parts[1]]?[parts[0].lowercased()] != nil, "\(route) is not described")
            }
        }
    }

    @Test(arguments: [
        ("/docs", "text/html; charset=utf-8"), ("/openapi.json", "application/json"),
        ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8"), ("/docs/start.js", "text/javascript; charset=utf-8"),
    ])
    func pages__are_served_with_a_tag_and_may_run_nothing_foreign(path: String, contentType: String) async throws {
        try await withAPI(Recorder()) { client in
            let page = try await client.execute(uri: path, method: .get)
            #expect(page.status == .ok && !page.text.isEmpty)
            #expect(page.headers[.contentType] == contentType)
            #expect(page.headers[.xContentTypeOptions] == "nosniff")
            #expect(page.headers[.contentSecurityPolicy]?.hasPrefix("default-src 'none'") == true)
            let tag = try #require(page.headers[.eTag])
            let again = try await client.execute(uri: path, method: .get, headers: [.ifNoneMatch: tag])
            #expect(again.status == .notModified && again.text.isEmpty)
        }
    }

    @Test(arguments: ["/docs/", "/docs/../openapi.json", "/docs/nothing.js", "/docs/%2e%2e/openapi.json"])
    func other_paths__are_no_pages(path: String) async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await client.execute(uri: path, method: .get)
            #expect(answer.status == .notFound)
        }
    }

    @Test func pages__take_no_other_method() async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await client.execute(uri: "/docs", method: .post)
            #expect(answer.status == .notFound)
        }
    }
}
