// A queue on one array: the head moves forward and the array is compacted when half of it is spent.

@frozen
package struct Fifo<Element> {
    @usableFromInline var elements: [Element?] = []
    @usableFromInline var head = 0

    @inlinable package init() {}

    @inlinable package var isEmpty: Bool { head == elements.count }
    @inlinable package var count: Int { elements.count - head }
    @inlinable package var first: Element? { isEmpty ? nil : elements[head] }

    @inlinable package mutating func append(_ element: Element) {
        elements.append(element)
    }

    @inlinable package mutating func prepend(_ element: Element) {
        if head == 0 {
            elements.insert(element, at: 0)
        } else {
            head -= 1
            elements[head] = element
        }
    }

    @inlinable package mutating func popFirst() -> Element? {
        if isEmpty { return nil }
        let element = elements[head]
        elements[head] = nil
        head += 1
        if head == elements.count {
            elements.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 64, head * 2 >= elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }

    @inlinable package mutating func removeAll(where matches: (Element) -> Bool) {
        elements = elements[head...].filter { !matches($0!) }
        head = 0
    }

    @inlinable package mutating func removeAll() -> [Element] {
        defer {
            elements = []
            head = 0
        }
        return elements[head...].map { $0! }
    }
}

extension Fifo: Sequence {
    @inlinable package func makeIterator() -> some IteratorProtocol<Element> {
        elements[head...].lazy.map { $0! }.makeIterator()
    }
}
