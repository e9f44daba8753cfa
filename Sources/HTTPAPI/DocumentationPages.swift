// The API's description for people and tools: /openapi.json, and /docs, where Swagger UI shows it. Files that lie beside
// the binary (Resources/, as built); a binary that was moved without them serves everything else.
import Crypto
import Foundation
import HTTPTypes
import HummingbirdCore
import NIOCore

struct DocumentationPages: Sendable {
    fileprivate struct Page: Sendable {
        let contentType: String
        let etag: String
        let body: ByteBuffer
    }

    private let pages: [String: Page]

    init() {
        var pages: [String: Page] = [:]
        pages["/docs"] = Page(contentType: "text/html; charset=utf-8", bytes: Data(Self.html.utf8))
        for (path, file, contentType) in [
            ("/openapi.json", "openapi.json", "application/json"),
            ("/docs/swagger-ui-bundle.js", "swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
            ("/docs/swagger-ui.css", "swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
            ("/docs/start.js", "docs-start.js", "text/javascript; charset=utf-8"),
        ] {
            guard let bytes = try? Data(contentsOf: Self.resources.appending(path: file)) else { continue }
            pages[path] = Page(contentType: contentType, bytes: bytes)
        }
        self.pages = pages.count == 5 ? pages : [:]
    }

    /// Where the package manager puts a target's resources: in a folder beside the executable.
    private static var resources: URL {
        Bundle.main.bundleURL.appending(path: "ringway_HTTPAPI.resources/Resources")
    }

    /// Nil for every other path. Nothing here needs a token, and nothing tells more than the repository does.
    func response(to request: Request) -> Response? {
        guard let page = pages[request.uri.path] else { return nil }
        guard request.method == .get || request.method == .head else { return nil }
        let headers: HTTPFields = [
            .contentType: page.contentType, .eTag: page.etag, .cacheControl: "no-cache",
            .xContentTypeOptions: "nosniff", .contentSecurityPolicy: Self.contentSecurityPolicy,
        ]
        if request.headers[.ifNoneMatch] == page.etag { return Response(status: .notModified, headers: headers) }
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: page.body))
    }

    /// Only what this server serves runs, and it calls only this server. Swagger UI sets styles of its own.
    private static let contentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        + "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

    private static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Ringway: the HTTP API</title>
        <link rel="icon" href="data:,">
        <link rel="stylesheet" href="/docs/swagger-ui.css">
        </head>
        <body>
        <div id="api"></div>
        <script src="/docs/swagger-ui-bundle.js"></script>
        <script src="/docs/start.js"></script>
        </body>
        </html>

        """
}

extension DocumentationPages.Page {
    fileprivate init(contentType: String, bytes: Data) {
        let digest = SHA256.hash(data: bytes).prefix(16).map { String($0, radix: 16) }.joined()
        self.init(contentType: contentType, etag: "\"\(digest)\"", body: ByteBuffer(bytes: bytes))
    }
}
