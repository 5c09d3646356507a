// HTML that changes only where it is different: what somebody reads, has open, scrolled or focused stays as it is.
const keyOf = (node) => {
  if (node.nodeType !== Node.ELEMENT_NODE) return null;
  const own = node.id || Object.values(node.dataset).join(" ") || node.getAttribute("href");
  // A row is known by the first link or button in it.
  if (own || node.localName !== "tr") return own;
  const first = node.querySelector("a[href], button");
  return first && keyOf(first);
};

const isSame = (old, fresh) => old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);

const sync = (old, fresh) => {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Whether a part is open is the reader's to say.
    if (!fresh.hasAttribute(name) && !(old.localName === "details" && name === "open")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  syncChildren(old, fresh);
};

const syncChildren = (old, fresh) => {
  const wanted = [...fresh.childNodes];
  const kept = new Set(wanted.map(keyOf).filter(Boolean));
  let place = old.firstChild;
  for (const one of wanted) {
    // What is no longer wanted makes room for what comes after it.
    while (place && keyOf(place) && !kept.has(keyOf(place))) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    if (place && isSame(place, one)) {
      sync(place, one);
      place = place.nextSibling;
      continue;
    }
    let found = null;
    if (keyOf(one)) {
      for (let other = place; other && !found; other = other.nextSibling) if (isSame(other, one)) found = other;
    }
    if (found) {
      sync(found, one);
      old.insertBefore(found, place);
    } else if (place && !keyOf(place) && !keyOf(one)) {
      const gone = place;
      place = place.nextSibling;
      old.replaceChild(one, gone);
    } else {
      old.insertBefore(one, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
};

export default {
  template: "<div></div>",
  props: { innerHTML: String },
  data: () => ({ shown: null }),
  mounted() {
    this.draw();
  },
  updated() {
    this.draw();
  },
  methods: {
    draw() {
      if (this.innerHTML === this.shown) return;
      this.shown = this.innerHTML;
      const fresh = document.createElement("template");
      fresh.innerHTML = this.innerHTML;
      const focused = document.activeElement;
      syncChildren(this.$el, fresh.content);
      // What is moved loses the focus; what is gone leaves it to the browser.
      if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    },
  },
};
